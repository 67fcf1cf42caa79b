import Foundation

/// The folder that the `image` paths of a data file are relative to. Data files come from
/// anywhere: nothing outside the folder is reached through them.
public struct ImageFolder: Sendable {
  public let url: URL

  public init(_ url: URL) {
    self.url = url
  }

  /// The file that `relative` names inside the folder, with every symbolic link resolved.
  ///
  /// - Throws: ``ImageError/outside(path:folder:reason:)`` for an absolute path, for `..` that
  ///   leaves the folder and for a link that leads out of it;
  ///   ``ImageError/missing(path:folder:)`` if there is no such file.
  public func resolve(_ relative: String) throws -> URL {
    func outside(_ reason: String) -> ImageError {
      .outside(path: relative, folder: url.path, reason: reason)
    }
    guard !relative.hasPrefix("/") else { throw outside("the path is absolute") }
    guard !Self.climbsOut(relative) else { throw outside("the path climbs with ..") }
    guard !relative.isEmpty, !relative.utf8.contains(0),
      let folder = Self.realPath(url.path),
      let file = Self.realPath(url.path + "/" + relative), file != folder
    else { throw ImageError.missing(path: relative, folder: url.path) }
    // The kernel's own resolution decides: `link/..` is not what it looks like.
    guard file.hasPrefix(folder == "/" ? "/" : folder + "/") else {
      throw outside("a symbolic link leads to \(file)")
    }
    return URL(fileURLWithPath: file, isDirectory: false)
  }

  /// The decoded picture that `relative` names.
  ///
  /// - Throws: ``ImageError`` as ``resolve(_:)`` and ``RGBImage/init(contentsOf:)``.
  public func image(_ relative: String) throws -> RGBImage {
    try RGBImage(contentsOf: resolve(relative))
  }

  /// The size of the file that `relative` names; nil when it names none inside the folder.
  package func byteCount(_ relative: String) -> Int? {
    guard let file = try? resolve(relative) else { return nil }
    return try? file.resourceValues(forKeys: [.fileSizeKey]).fileSize
  }

  private static func climbsOut(_ relative: String) -> Bool {
    var depth = 0
    for component in relative.split(separator: "/") where component != "." {
      depth += component == ".." ? -1 : 1
      if depth < 0 { return true }
    }
    return false
  }

  private static func realPath(_ path: String) -> String? {
    guard let resolved = realpath(path, nil) else { return nil }
    defer { free(resolved) }
    return String(cString: resolved)
  }
}
