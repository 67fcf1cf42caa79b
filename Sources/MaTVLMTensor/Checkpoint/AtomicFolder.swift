import CMaTVLMKernels
import Foundation

/// A folder that is there whole or not at all.
///
/// Content goes to ``temporary``, a folder beside the target, and ``commit()`` renames it into
/// place. A folder that was never committed is removed when this object goes away, so whatever
/// stops a run leaves the target as it was; after a program that was killed, when the target is
/// written the next time.
public final class AtomicFolder {
  /// Where the folder will be.
  public let target: URL
  /// Where its content is written until then.
  public var temporary: URL { partial.url }
  private let partial: PartialFolder
  private let mayReplace: (URL) -> Bool
  private var isDone = false

  /// Makes the temporary folder, and with it sure that the target can be written: call it before
  /// the work whose result the folder is to hold.
  ///
  /// - Parameter mayReplace: whether a folder that has content may be replaced; asked with its
  ///   place, now and again in ``commit()``. An empty folder may always.
  /// - Throws: ``CheckpointError`` when the parent is missing or unwritable, or the target is a file
  ///   or a folder that may not be replaced.
  public init(at target: URL, replacing mayReplace: @escaping (URL) -> Bool = { _ in false }) throws
  {
    // A link to a folder stands for that folder; renaming must not meet the link itself.
    self.target = URL(filePath: target.path).standardizedFileURL.resolvingSymlinksInPath()
    self.mayReplace = mayReplace
    try Self.requireFree(self.target, mayReplace)
    partial = try PartialFolder(for: self.target)
  }

  deinit { discard() }

  /// Makes a folder, lets `body` write its content, and puts it in place.
  /// - Throws: what ``init(at:replacing:)``, `body` and ``commit()`` throw; the target is as before
  ///   then, and nothing is left beside it.
  public static func write<Result>(
    to target: URL, replacing mayReplace: @escaping (URL) -> Bool = { _ in false },
    _ body: (_ temporary: URL) throws -> Result
  ) throws -> Result {
    let folder = try AtomicFolder(at: target, replacing: mayReplace)
    defer { folder.discard() }
    do {
      let result = try body(folder.temporary)
      try folder.commit()
      return result
    } catch {
      throw folder.namingTarget(error)
    }
  }

  /// A failure to write, with the name that the folder was to have: nobody knows the passing one.
  private func namingTarget(_ error: any Error) -> any Error {
    switch error {
    case CheckpointError.unwritable(let path, let code) where path.hasPrefix(temporary.path):
      CheckpointError.unwritable(
        path: target.path + path.dropFirst(temporary.path.count), code: code)
    case let error as CocoaError:
      (error.underlying as? POSIXError).map {
        CheckpointError.unwritable(path: target.path, code: $0.code.rawValue)
      } ?? error
    default: error
    }
  }

  /// Waits until everything is on the disk and puts the folder in place of what was there.
  /// - Throws: ``CheckpointError``; the target is as before then, except in case of
  ///   ``CheckpointError/leftover(path:replacedBy:)``.
  /// - Precondition: neither committed nor discarded before.
  public func commit() throws {
    require(!isDone, "AtomicFolder: \(target.path) was committed or discarded before")
    try Self.requireFree(target, mayReplace)
    try synchronizeContent()
    let aside = try takePlace()
    isDone = true
    try synchronize(target.deletingLastPathComponent())
    guard let aside else { return }
    do {
      try FileManager.default.removeItem(at: aside)
    } catch {
      throw CheckpointError.leftover(path: aside.path, replacedBy: target.path)
    }
  }

  /// - Returns: where what was at the target is now; nil when nothing was.
  private func takePlace() throws -> URL? {
    if fileKind(target) == nil {
      try move(temporary, to: target)
      return nil
    }
    if matvlm_exchange(temporary.path, target.path) { return temporary }
    let aside = temporarySibling(of: target, "replaced")
    try move(target, to: aside)
    do {
      try move(temporary, to: target)
    } catch {
      try move(aside, to: target)
      throw error
    }
    return aside
  }

  /// Removes the temporary folder; the target stays as it was.
  public func discard() {
    guard !isDone else { return }
    isDone = true
    // The error that led here is the one to report, not that of clearing up after it.
    try? FileManager.default.removeItem(at: temporary)
  }

  private static func requireFree(_ target: URL, _ mayReplace: (URL) -> Bool) throws {
    guard let kind = fileKind(target) else { return }
    guard kind.type == S_IFDIR else {
      throw CheckpointError.occupied(path: target.path, found: "a file")
    }
    if let parent = fileKind(target.deletingLastPathComponent()), parent.device != kind.device {
      throw CheckpointError.occupied(
        path: target.path, found: "the root of a file system, which cannot be renamed")
    }
    let content: [String]
    do {
      content = try FileManager.default.contentsOfDirectory(atPath: target.path)
    } catch {
      throw CheckpointError.unreadable(path: target.path, cause: error.localizedDescription)
    }
    guard content.isEmpty || mayReplace(target) else {
      throw CheckpointError.occupied(
        path: target.path, found: "a folder with \(content.count) other file(s)")
    }
  }

  private func synchronizeContent() throws {
    let paths = try FileManager.default.subpathsOfDirectory(atPath: temporary.path)
    for path in paths {
      let url = temporary.appending(path: path)
      if let kind = fileKind(url), kind.type == S_IFREG || kind.type == S_IFDIR {
        try synchronize(url)
      }
    }
    try synchronize(temporary)
  }
}

/// What is at `url`, links not followed; nil when there is nothing.
private func fileKind(_ url: URL) -> (type: mode_t, device: dev_t)? {
  var status = stat()
  guard lstat(url.path, &status) == 0 else { return nil }
  return (status.st_mode & S_IFMT, status.st_dev)
}
