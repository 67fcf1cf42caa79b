import Foundation
import MaTVLMCore

/// `run.lock` in an output folder: while it is there the run is unfinished, and while a program holds
/// it the run is under way. The system lets go of it however the program ends.
final class RunLock {
  static let fileName = "run.lock"

  private let url: URL
  private let descriptor: Int32

  /// - Parameter folder: an existing folder.
  /// - Throws: ``OutputError`` when another program holds the lock, or the file cannot be made.
  init(in folder: URL) throws {
    url = folder.appendingPathComponent(Self.fileName)
    descriptor = open(url.path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else {
      throw OutputError.unwritable(url.path, reason: String(cString: strerror(errno)))
    }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0, isInPlace else {
      close(descriptor)
      throw OutputError.busy(folder.path)
    }
  }

  deinit { close(descriptor) }

  /// Whether a run in `folder` has not finished.
  static func exists(in folder: URL) -> Bool {
    FileManager.default.fileExists(atPath: folder.appendingPathComponent(fileName).path)
  }

  /// - Throws: ``OutputError`` when a run in `folder` is under way.
  static func check(_ folder: URL) throws {
    if exists(in: folder) { _ = try RunLock(in: folder) }
  }

  /// What the run is, as the program wrote that began it; nil when it came to nothing.
  var identity: RunIdentity? {
    (try? Data(contentsOf: url)).flatMap { try? JSONDecoder().decode(RunIdentity.self, from: $0) }
  }

  /// - Throws: ``CheckpointError/unwritable(path:code:)``.
  func write(_ identity: RunIdentity) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    let file = try OutputFile(url.path)
    try encoder.encode(identity).withUnsafeBytes(file.write)
    try file.close()
  }

  /// From then on the run has finished.
  func remove() throws { try FileManager.default.removeItem(at: url) }

  /// The run that held the lock may have finished, and removed it, before this one got it.
  private var isInPlace: Bool {
    var (held, named) = (stat(), stat())
    return fstat(descriptor, &held) == 0 && stat(url.path, &named) == 0
      && held.st_ino == named.st_ino
  }
}
