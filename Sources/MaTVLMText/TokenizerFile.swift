import Foundation

/// One file of a tokenizer, read with its size bounded, its faults named by file and key.
struct TokenizerFile {
  /// Published tokenizers stay below 40 MB.
  static let sizeLimit = 64 << 20

  let url: URL

  init(_ name: TokenizerFileName, in directory: URL) {
    url = directory.appendingPathComponent(name.rawValue)
  }

  var path: String { url.path }
  var exists: Bool { FileManager.default.fileExists(atPath: path) }

  func place(_ key: String? = nil) -> TokenizerDefinition.Place { .init(file: path, key: key) }

  /// The file's bytes. Only regular files, and links to them, are opened: a pipe would block.
  func contents() throws -> Data {
    do {
      let target = url.resolvingSymlinksInPath()
      let type = try FileManager.default.attributesOfItem(atPath: target.path)[.type]
      guard type as? FileAttributeType == .typeRegular else {
        throw TokenizerError.unreadable(file: path, reason: "not a regular file")
      }
      let handle = try FileHandle(forReadingFrom: target)
      defer { try? handle.close() }
      let data = try handle.read(upToCount: Self.sizeLimit + 1) ?? Data()
      guard data.count <= Self.sizeLimit else {
        throw TokenizerError.tooLarge(file: path, limit: Self.sizeLimit)
      }
      return data
    } catch let error as TokenizerError {
      throw error
    } catch {
      throw TokenizerError.unreadable(file: path, reason: error.localizedDescription)
    }
  }

  func decode<T: Decodable>(_ type: T.Type = T.self) throws -> T {
    let data = try contents()
    do {
      return try JSONDecoder().decode(type, from: data)
    } catch let error as DecodingError {
      throw invalid(error)
    } catch {
      throw TokenizerError.unreadable(file: path, reason: "\(error)")
    }
  }

  /// The decoded file, or nil if there is none.
  func decodeIfPresent<T: Decodable>(_ type: T.Type = T.self) throws -> T? {
    exists ? try decode(type) : nil
  }

  func encode(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    try write(encoder.encode(value))
  }

  func write(_ data: Data) throws { try data.write(to: url, options: .atomic) }

  private func invalid(_ error: DecodingError) -> TokenizerError {
    func describe(_ context: DecodingError.Context, _ expected: String, key: (any CodingKey)? = nil)
      -> TokenizerError
    {
      let keys = context.codingPath + (key.map { [$0] } ?? [])
      let name = keys.isEmpty ? "the whole file" : keys.map(\.stringValue).joined(separator: ".")
      return place().invalid(name, expected: expected, found: context.debugDescription)
    }
    return switch error {
    case .typeMismatch(let type, let context): describe(context, "a value of type \(type)")
    case .valueNotFound(let type, let context): describe(context, "a value of type \(type)")
    case .keyNotFound(let key, let context): describe(context, "a value", key: key)
    case .dataCorrupted(let context): describe(context, "JSON of a byte-level BPE tokenizer")
    @unknown default: .unreadable(file: path, reason: "\(error)")
    }
  }
}
