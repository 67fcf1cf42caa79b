import CMaTVLMKernels
import Foundation

/// CRC-32C (Castagnoli; RFC 3720, appendix B.4) of bytes that come piece by piece.
package struct CRC32C: Sendable {
  package private(set) var value: UInt32 = 0

  package init() {}

  package init(_ bytes: some ContiguousBytes) { bytes.withUnsafeBytes { update($0) } }

  package mutating func update(_ bytes: UnsafeRawBufferPointer) {
    value = matvlm_crc32c(value, bytes.baseAddress, bytes.count)
  }
}

/// Size and checksum of a file: what tells that it was cut, damaged or replaced.
public struct FileChecksum: Sendable, Hashable, Codable, CustomStringConvertible {
  public let bytes: Int
  public let crc32c: UInt32

  package init(of content: some ContiguousBytes) {
    bytes = content.withUnsafeBytes(\.count)
    crc32c = CRC32C(content).value
  }

  /// Reads the whole file.
  /// - Throws: ``CheckpointError/unreadable(path:cause:)``.
  public init(of url: URL) throws {
    let file = try MappedFile(url)
    var checksum = CRC32C()
    checksum.update(file.bytes)
    (bytes, crc32c) = (file.bytes.count, checksum.value)
  }

  public var description: String { "\(bytes) bytes, crc32c " + String(format: "%08x", crc32c) }
}
