import Foundation
import MaTVLMEvaluation

/// Inputs, and what the authors' own scorers answer for them; `README.md` in the folder says what each
/// file is.
enum Fixtures {
  static let folder = Bundle.module.bundleURL.appending(path: "Fixtures")

  static func decode<T: Decodable>(_ file: String) throws -> T {
    try JSONDecoder().decode(T.self, from: Data(contentsOf: folder.appending(path: file)))
  }

  static func text(_ file: String) throws -> String {
    try String(contentsOf: folder.appending(path: file), encoding: .utf8)
  }

  static func answers(_ file: String) throws -> [AnswerRecord] {
    try AnswerRecord.read(folder.appending(path: file))
  }

  /// A folder of fixtures as that of a benchmark.
  static func files(_ name: BenchmarkName, in folder: String) -> BenchmarkFiles {
    BenchmarkFiles(Self.folder.appending(path: folder), name.benchmark.layout)
  }
}
