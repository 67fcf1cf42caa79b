import Foundation

/// `manifest.json`: the other files of a folder with their sizes and checksums, so that a folder can
/// be trusted before any of it is used.
public struct FolderManifest: Sendable, Hashable, Codable {
  static let fileName = "manifest.json"
  /// A manifest names a handful of files.
  private static let maximumBytes = 1 << 20

  /// By file name.
  public let files: [String: FileChecksum]

  /// Writes the manifest of what a folder holds.
  /// - Throws: ``CheckpointError``.
  package static func write(in folder: URL) throws {
    var files: [String: FileChecksum] = [:]
    for name in try FileManager.default.contentsOfDirectory(atPath: folder.path)
    where name != fileName {
      files[name] = try FileChecksum(of: folder.appending(path: name))
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    try AtomicFile.write(
      try encoder.encode(FolderManifest(files: files)), to: folder.appending(path: fileName))
  }

  /// Reads the manifest of a folder, and compares every file that it names.
  /// - Throws: ``CheckpointError`` naming the first file that is missing or is not what it was.
  @discardableResult
  package static func verify(_ folder: URL) throws -> FolderManifest {
    let url = folder.appending(path: fileName)
    let file = try MappedFile(url)
    guard file.bytes.count <= maximumBytes,
      let manifest = try? JSONDecoder().decode(FolderManifest.self, from: Data(file.bytes))
    else {
      throw CheckpointError.malformed(path: url.path, tensor: nil, problem: "it is no manifest")
    }
    for (name, expected) in manifest.files.sorted(by: { $0.key < $1.key }) {
      guard !name.contains("/"), name != ".." else {
        throw CheckpointError.malformed(
          path: url.path, tensor: nil, problem: "it names \(quoted(name)), which is no file of it")
      }
      let file = folder.appending(path: name)
      let found = try FileChecksum(of: file)
      guard found == expected else {
        throw CheckpointError.malformed(
          path: file.path, tensor: nil, problem: "expected \(expected), found \(found)")
      }
    }
    return manifest
  }
}
