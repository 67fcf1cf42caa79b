import CPseudoTerminal
import Foundation
import MaTVLMTestSupport
import Testing

/// The built program at a terminal: a pseudo-terminal whose other end is this object.
final class Terminal {
  private let descriptor: Int32
  private let process: pid_t
  /// Everything that was shown, echo included; what was waited for is taken off.
  private(set) var shown = ""
  private var isReaped = false

  /// Starts `matvlm` with `arguments`, paths being relative to `folder`.
  init(_ arguments: [String], in folder: TemporaryFolder) throws {
    let words = ([try Command.program.path] + arguments).map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    var child: pid_t = 0
    descriptor = pseudo_terminal_start(folder.url.path, words, &child)
    try #require(descriptor >= 0, "no pseudo-terminal: \(String(cString: strerror(errno)))")
    process = child
  }

  deinit {
    if !isReaped {
      kill(process, SIGKILL)
      waitpid(process, nil, 0)
    }
    close(descriptor)
  }

  /// Types `text` and return.
  func type(_ text: String) { send(text + "\n") }

  func interrupt() { send("\u{3}") }

  /// Ctrl-D at the beginning of a line.
  func endInput() { send("\u{4}") }

  private func send(_ text: String) {
    let bytes = Array(text.utf8)
    precondition(write(descriptor, bytes, bytes.count) == bytes.count)
  }

  /// Waits until `text` is shown; returns what came before it.
  @discardableResult
  func wait(for text: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> String {
    while true {
      if let range = shown.range(of: text) {
        defer { shown = String(shown[range.upperBound...]) }
        return String(shown[..<range.lowerBound])
      }
      try #require(
        receive(), "no '\(text)' in: \(shown.suffix(2000))", sourceLocation: sourceLocation)
    }
  }

  /// Waits for the program's end; returns its exit code.
  func waitForEnd() throws -> Int32 {
    while receive() {}
    var status: Int32 = 0
    try #require(waitpid(process, &status, 0) == process)
    isReaped = true
    return status & 0x7F == 0 ? status >> 8 & 0xFF : -(status & 0x7F)
  }

  /// Takes what the program has written; false when nothing comes any more.
  private func receive() -> Bool {
    // Far longer than anything takes, so that a test that waits in vain ends.
    var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    guard poll(&request, 1, 120_000) > 0 else { return false }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = read(descriptor, &bytes, bytes.count)
    guard count > 0 else { return false }  // EIO: the other end is closed
    // The golden models' words are ASCII; a piece of a character would be shown as such.
    shown += String(decoding: bytes[..<count], as: UTF8.self).replacing("\r\n", with: "\n")
    return true
  }
}
