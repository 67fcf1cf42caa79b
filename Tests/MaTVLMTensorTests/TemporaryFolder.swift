import Foundation

/// A folder for one test, removed with everything in it when the test is over.
final class TemporaryFolder {
  let url: URL

  init() throws {
    url = FileManager.default.temporaryDirectory.appending(path: "matvlm-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
  }

  deinit { try? FileManager.default.removeItem(at: url) }

  /// A place in the folder.
  subscript(_ path: String) -> URL { url.appending(path: path) }

  /// Writes a file, whose folder it makes, and returns its place.
  @discardableResult
  func write(_ path: String, _ content: some DataProtocol) throws -> URL {
    let file = self[path]
    try FileManager.default.createDirectory(
      at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(content).write(to: file)
    return file
  }

  /// Every path in the folder, hidden ones included.
  var content: [String] {
    get throws { try FileManager.default.subpathsOfDirectory(atPath: url.path).sorted() }
  }
}

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
