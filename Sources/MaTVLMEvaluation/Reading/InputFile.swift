import Foundation
import MaTVLMImages

/// Files that come with a benchmark, or from an earlier run.
package enum InputFile {
  /// Above any benchmark's: MMBench with its pictures is 0.2 GB.
  private static let largest = 4 << 30

  /// - Throws: ``EvaluationError/unreadable(path:reason:)``.
  package static func bytes(of url: URL) throws -> Data {
    do {
      let values = try url.resourceValues(forKeys: [.isRegularFileKey, .fileSizeKey])
      guard values.isRegularFile == true, let size = values.fileSize else {
        throw EvaluationError.unreadable(path: url.path, reason: "it is not a regular file")
      }
      guard size <= largest else {
        throw EvaluationError.unreadable(path: url.path, reason: "it is larger than 4 GiB")
      }
      return try Data(contentsOf: url, options: .mappedIfSafe)
    } catch let error as EvaluationError {
      throw error
    } catch {
      throw EvaluationError.unreadable(path: url.path, reason: error.systemReason)
    }
  }

  /// - Parameter expected: what errors say the file should be.
  package static func json<T: Decodable>(_ url: URL, _ expected: String) throws -> T {
    do {
      return try JSONDecoder().decode(T.self, from: bytes(of: url))
    } catch let error as DecodingError {
      throw EvaluationError.malformed(path: url.path, place: error.place, expected: expected)
    }
  }

  /// One JSON value in each line; empty lines are passed over.
  package static func jsonLines<T: Decodable>(_ url: URL, _ expected: String) throws -> [T] {
    try lines(bytes(of: url)).map { number, line in
      do {
        return try JSONDecoder().decode(T.self, from: line)
      } catch {
        throw EvaluationError.malformed(path: url.path, place: "line \(number)", expected: expected)
      }
    }
  }

  /// Lines that are not blank, numbered from 1.
  package static func lines(_ data: Data) -> [(number: Int, bytes: Data)] {
    data.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated()
      .map { ($0 + 1, $1) }
      .filter { !$0.1.allSatisfy { [0x20, 0x09, 0x0D].contains($0) } }
  }

  /// - Throws: ``EvaluationError/malformed(path:place:expected:)`` when it is not UTF-8.
  package static func text(_ url: URL) throws -> String {
    guard let text = String(validating: try bytes(of: url), as: UTF8.self) else {
      throw EvaluationError.malformed(path: url.path, place: "the file", expected: "UTF-8 text")
    }
    return text
  }
}

extension DecodingError {
  /// The key or index where decoding stopped.
  fileprivate var place: String {
    let context: Context? =
      switch self {
      case .typeMismatch(_, let context), .valueNotFound(_, let context),
        .keyNotFound(_, let context), .dataCorrupted(let context):
        context
      @unknown default: nil
      }
    let path = (context?.codingPath ?? []).map(\.stringValue).joined(separator: ".")
    if case .keyNotFound(let key, _) = self {
      return (path.isEmpty ? "" : path + ": ") + "no \(key.stringValue)"
    }
    return path.isEmpty ? "the file" : path
  }
}
