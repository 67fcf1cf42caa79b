import Foundation
import MaTVLMImages

/// Results on the disk: whole or not at all, and failures named.
enum OutputFiles {
  static func write(_ data: Data, to url: URL) throws {
    do {
      try data.write(to: url, options: .atomic)
    } catch {
      throw EvaluationError.unwritable(path: url.path, reason: error.systemReason)
    }
  }

  static func createFolder(_ url: URL) throws {
    do {
      try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    } catch {
      throw EvaluationError.unwritable(path: url.path, reason: error.systemReason)
    }
  }

  /// Indented, `likeThis` spelled `like_this`.
  static func json(_ value: some Encodable) throws -> Data {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
    return try encoder.encode(value) + Data("\n".utf8)
  }

  /// What ``json(_:)`` wrote.
  static func read<T: Decodable>(_ url: URL, _ expected: String) throws -> T {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    let data = try InputFile.bytes(of: url)
    do {
      return try decoder.decode(T.self, from: data)
    } catch {
      throw EvaluationError.malformed(path: url.path, place: "the file", expected: expected)
    }
  }
}
