import Foundation
import MaTVLMImages

/// Results. Unlike `print`, notices when they cannot be written.
enum StandardOutput {
  static func print(_ line: String) throws { try write(line + "\n") }

  /// - Throws: ``OutputError`` when the file or device behind it is full or closed.
  static func write(_ text: String) throws {
    do {
      try FileHandle.standardOutput.write(contentsOf: Data(text.utf8))
    } catch {
      throw OutputError.unwritable("standard output", reason: error.systemReason)
    }
  }
}
