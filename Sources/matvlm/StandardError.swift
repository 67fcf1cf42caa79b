import Foundation

/// Lines for people.
enum StandardError {
  static func print(_ line: String) { write(line + "\n") }

  static func write(_ text: String) {
    // Of several processes one speaks.
    guard !Ranks.isOther else { return }
    writeAnyway(text)
  }

  /// Also where another process is the one that speaks.
  static func writeAnyway(_ text: String) {
    // Nobody is left to tell when standard error is closed.
    try? FileHandle.standardError.write(contentsOf: Data(text.utf8))
  }

  /// Whether somebody watches: lines may then be written over.
  static let isTerminal = isatty(STDERR_FILENO) == 1

  /// Says once that a program built without optimisation is slow.
  static func noteDebugBuild() {
    #if DEBUG
      print("This is a debug build; 'swift run -c release matvlm' is many times faster.")
    #endif
  }
}
