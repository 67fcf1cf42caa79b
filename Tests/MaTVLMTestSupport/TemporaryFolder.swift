import Foundation

/// A folder for one test, removed with everything in it when the test is over.
package final class TemporaryFolder {
  package let url: URL

  package init() throws {
    url = FileManager.default.temporaryDirectory.appending(path: "matvlm-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
  }

  deinit { try? FileManager.default.removeItem(at: url) }

  /// A place in the folder.
  package subscript(_ path: String) -> URL { url.appending(path: path) }

  /// Writes a file, whose folder it makes, and returns its place.
  @discardableResult
  package func write(_ path: String, _ content: some DataProtocol) throws -> URL {
    let file = self[path]
    try FileManager.default.createDirectory(
      at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(content).write(to: file)
    return file
  }

  /// Every path in the folder, hidden ones included.
  package var content: [String] {
    get throws { try FileManager.default.subpathsOfDirectory(atPath: url.path).sorted() }
  }
}
