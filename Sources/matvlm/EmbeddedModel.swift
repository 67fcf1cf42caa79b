import Foundation
import MaTVLMCore

/// The model that is used when the command line names none.
enum EmbeddedModel {
  /// The folder at `path`, or the teacher that comes with the program.
  static func folder(_ path: String?) throws -> URL {
    try path.map { URL(fileURLWithPath: $0, isDirectory: true) } ?? ShapesTeacher.folder()
  }
}
