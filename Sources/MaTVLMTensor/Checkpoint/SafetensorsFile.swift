import Foundation

/// A safetensors file, mapped into memory; its header was checked in full when it was opened.
public final class SafetensorsFile: Sendable {
  /// One tensor of a file.
  public struct Entry: Sendable, Hashable {
    public let name: String
    public let type: SafetensorsType
    public let shape: Shape
    /// Where its bytes lie in the file; as long as `type` and `shape` make it.
    public let range: Range<Int>
  }

  private let file: MappedFile
  /// The free text that the header carries, for example `["format": "pt"]`.
  public let metadata: [String: String]
  /// Every tensor, in the order of their bytes.
  public let entries: [Entry]
  private let positions: [String: Int]  // name → index in `entries`

  /// - Throws: ``CheckpointError`` naming the file and, where one is to blame, the tensor, when the
  ///   file cannot be read or its header is wrong in any way.
  public init(_ url: URL) throws {
    file = try MappedFile(url)
    let header = try SafetensorsHeader(of: file.bytes, path: url.path)
    metadata = header.metadata
    entries = header.entries
    positions = Dictionary(uniqueKeysWithValues: zip(entries.map(\.name), entries.indices))
  }

  public var url: URL { file.url }

  /// The names of all tensors, in the order of their bytes.
  public var names: [String] { entries.map(\.name) }

  /// What is known about a tensor; nil when there is none of this name.
  public func entry(_ name: String) -> Entry? { positions[name].map { entries[$0] } }

  /// The bytes of one of this file's tensors, in little-endian order, at any alignment.
  ///
  /// They stay where they are as long as this object lives, and no longer.
  /// - Precondition: `entry` is one of this file's ``entries``.
  public func bytes(of entry: Entry) -> UnsafeRawBufferPointer {
    require(self.entry(entry.name) == entry, "bytes(of:): \(entry.name) is of another file")
    return UnsafeRawBufferPointer(rebasing: file.bytes[entry.range])
  }

  /// Gives back the memory of a tensor whose values have been copied.
  func release(_ entry: Entry) { file.release(entry.range) }

  /// The bytes of the tensor of this name; nil when there is none.
  public func bytes(_ name: String) -> UnsafeRawBufferPointer? { entry(name).map(bytes(of:)) }
}

extension SafetensorsFile {
  /// A float32 tensor in memory of its own, to be written in place later.
  /// - Throws: ``CheckpointError`` naming file and tensor when it is missing, of another shape, or
  ///   not stored as float32.
  package func values(_ name: String, _ shape: Shape, on device: Device) throws -> Tensor {
    guard let entry = entry(name) else {
      throw CheckpointError.missingTensor(path: url.path, tensor: name)
    }
    guard entry.shape == shape else {
      throw CheckpointError.wrongShape(
        path: url.path, tensor: name, expected: shape, found: entry.shape)
    }
    guard entry.type == .float32 else {
      throw CheckpointError.wrongType(path: url.path, tensor: name, found: entry.type.rawValue)
    }
    return Tensor(copying: bytes(of: entry), shape, .float32, on: device.backend)
  }
}
