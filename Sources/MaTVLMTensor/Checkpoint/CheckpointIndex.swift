import Foundation

/// `model.safetensors.index.json`: which shard holds which tensor.
struct CheckpointIndex {
  static let fileName = "model.safetensors.index.json"

  /// Tensor name → file name.
  let shards: [String: String]

  var fileNames: [String] { Set(shards.values).sorted() }
}

// MARK: - Reading

extension CheckpointIndex {
  private static let maximumByteCount = 100_000_000

  /// - Throws: ``CheckpointError`` when the file is not an index, or a shard's name is not that of a
  ///   file in the same folder.
  init(reading url: URL) throws {
    func malformed(_ problem: String, _ tensor: String? = nil) -> CheckpointError {
      .malformed(path: url.path, tensor: tensor, problem: problem)
    }
    let file = try MappedFile(url)
    guard file.bytes.count <= Self.maximumByteCount else {
      throw malformed(
        "it has \(file.bytes.count) bytes, at most \(Self.maximumByteCount) are allowed")
    }
    let json: JSONValue
    do {
      json = try JSONValue(strict: file.bytes)
    } catch {
      throw malformed("\(error)")
    }
    guard case .object(let members) = json, case .object(let map)? = members["weight_map"] else {
      throw malformed("expected an object with an object weight_map")
    }
    shards = try Dictionary(
      uniqueKeysWithValues: map.map { name, value in
        guard case .string(let shard) = value else {
          throw malformed("its shard is not a string", name)
        }
        guard Self.isPlainFileName(shard) else {
          throw malformed("shard \(quoted(shard)) is not the name of a file in this folder", name)
        }
        return (name, shard)
      })
  }

  private static func isPlainFileName(_ name: String) -> Bool {
    !name.isEmpty && name != "." && name != ".." && !name.utf8.contains(UInt8(ascii: "/"))
      && !name.utf8.contains(0)
  }
}

// MARK: - Writing

extension CheckpointIndex {
  /// The text of the file as Transformers writes it.
  /// - Parameter totalSize: bytes of all tensors.
  func encoded(totalSize: Int) -> String {
    let map = shards.sorted { $0.key < $1.key }
      .map { "    \(JSONValue.encoded($0.key)): \(JSONValue.encoded($0.value))" }
    return """
      {
        "metadata": {
          "total_size": \(totalSize)
        },
        "weight_map": {
      \(map.joined(separator: ",\n"))
        }
      }

      """
  }
}
