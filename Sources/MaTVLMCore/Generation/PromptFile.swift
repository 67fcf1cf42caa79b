import Foundation
import MaTVLMTensor

/// Prompts in a file of JSON lines: on each line `{"id", "image", "prompt"}`, of which only the prompt
/// must be there.
public struct PromptFile: Sendable {
  /// One line.
  public struct Entry: Sendable, Hashable {
    /// From 1.
    public let line: Int
    /// A string or a whole number; the line's number when the file has none.
    public let id: JSONValue
    /// A path of a picture, as the file has it.
    public let image: String?
    public let prompt: String
  }

  /// Every line that is not empty, in order; one that cannot be used is why.
  public let entries: [Result<Entry, PromptFileError>]

  private static let maximumBytes = 256 << 20
  private static let maximumLineBytes = 1 << 20

  /// - Throws: ``PromptFileError`` when the file cannot be read, is too large or has no line.
  public init(contentsOf url: URL) throws {
    let file: MappedFile
    do {
      file = try MappedFile(url)
    } catch CheckpointError.unreadable(_, let cause) {
      throw PromptFileError.unreadable(file: url.path, reason: cause)
    }
    guard file.bytes.count <= Self.maximumBytes else {
      throw PromptFileError.unreadable(file: url.path, reason: "it is larger than 256 MiB")
    }
    let lines = file.bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    entries = lines.enumerated().compactMap { index, bytes in
      if bytes.allSatisfy({ $0 == 0x20 || (0x09...0x0D).contains($0) }) { return nil }
      return Self.entry(UnsafeRawBufferPointer(rebasing: bytes), line: index + 1)
        .mapError { .line(file: url.path, number: index + 1, reason: $0.reason) }
    }
    guard !entries.isEmpty else { throw PromptFileError.empty(file: url.path) }
  }

  private struct Problem: Error { let reason: String }

  private static func entry(_ bytes: UnsafeRawBufferPointer, line: Int) -> Result<Entry, Problem> {
    Result { () throws(Problem) in
      guard bytes.count <= maximumLineBytes else { throw Problem(reason: "is longer than 1 MiB") }
      let json: JSONValue
      do { json = try JSONValue(strict: bytes) } catch { throw Problem(reason: "\(error)") }
      guard case .object(let values) = json else {
        throw Problem(reason: "expected an object of prompt, and if need be id and image")
      }
      let unknown = values.keys.filter { !["id", "image", "prompt"].contains($0) }.sorted()
      guard unknown.isEmpty else {
        throw Problem(reason: "\(quoted(unknown[0])) is not one of id, image, prompt")
      }
      guard case .string(let prompt) = values["prompt"] else {
        throw Problem(reason: "needs prompt, a text")
      }
      return Entry(
        line: line, id: try id(values["id"]) ?? .integer(line), image: try image(values["image"]),
        prompt: prompt)
    }
  }

  private static func id(_ value: JSONValue?) throws(Problem) -> JSONValue? {
    switch value {
    case nil, .null: nil
    case .string, .integer: value
    default: throw Problem(reason: "id must be a text or a whole number")
    }
  }

  private static func image(_ value: JSONValue?) throws(Problem) -> String? {
    switch value {
    case nil, .null: nil
    case .string(let path): path
    default: throw Problem(reason: "image must be a path")
    }
  }
}

/// A file of prompts, or a line of it, that cannot be used.
public enum PromptFileError: Error, Sendable, Hashable, CustomStringConvertible {
  case unreadable(file: String, reason: String)
  case empty(file: String)
  /// - Parameter number: from 1.
  case line(file: String, number: Int, reason: String)
  case noUsableLine(file: String)

  public var description: String {
    switch self {
    case .unreadable(let file, let reason):
      "\(file): cannot be read as a file of prompts: \(reason)"
    case .empty(let file): "\(file): has no line with a prompt"
    case .line(let file, let number, let reason): "\(file), line \(number): \(reason)"
    case .noUsableLine(let file):
      "\(file): none of the lines can be used; the messages before this one say why"
    }
  }
}
