import Foundation

/// A file of the golden data that the tests carry.
func fixture(_ path: String) throws -> URL {
  guard let folder = Bundle.module.url(forResource: "Fixtures", withExtension: nil) else {
    throw CocoaError(.fileNoSuchFile)
  }
  return folder.appending(path: path)
}

/// The bytes of a safetensors file with this header, unpadded, and this data.
func safetensors(_ header: String, data: [UInt8] = []) -> [UInt8] {
  withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian, Array.init) + header.utf8 + data
}
