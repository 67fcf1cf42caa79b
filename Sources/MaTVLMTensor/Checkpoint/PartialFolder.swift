import Foundation

/// A hidden folder beside the one that it is to become, locked by the program that fills it. What a
/// program leaves that was killed is locked by nobody, and goes when the same target is written again.
final class PartialFolder {
  let url: URL
  private let descriptor: Int32

  /// - Throws: ``CheckpointError/unwritable(path:code:)`` of the target.
  init(for target: URL) throws {
    Self.removeAbandoned(of: target)
    while true {
      let url = target.deletingLastPathComponent().appending(
        path: Self.prefix(target) + String(UInt64.random(in: 0...UInt64.max), radix: 16))
      guard mkdir(url.path, 0o777) == 0 else {
        throw CheckpointError.unwritable(path: target.path, code: errno)
      }
      do {
        // None: another program took it for abandoned meanwhile.
        if let claim = try Self.claim(url, for: target) {
          (self.url, descriptor) = (url, claim.descriptor)
          return
        }
      } catch {
        rmdir(url.path)
        throw error
      }
    }
  }

  deinit { close(descriptor) }

  /// With the target's name, as much of it as leaves room in a name of 255 bytes.
  private static func prefix(_ target: URL) -> String {
    ".partial-\(String(decoding: target.lastPathComponent.utf8.prefix(200), as: UTF8.self))-"
  }

  private static func removeAbandoned(of target: URL) {
    let parent = target.deletingLastPathComponent()
    let prefix = prefix(target)
    let names = (try? FileManager.default.contentsOfDirectory(atPath: parent.path)) ?? []
    for name in names
    where name.hasPrefix(prefix) && name.dropFirst(prefix.count).allSatisfy(\.isHexDigit) {
      let url = parent.appending(path: name)
      guard let claim = try? claim(url, for: target) else { continue }
      defer { close(claim.descriptor) }
      // Anything that stays here is in nobody's way.
      if claim.isLocked { try? FileManager.default.removeItem(at: url) }
    }
  }

  /// The folder, opened, and locked where the file system knows locks; nil when another program has
  /// it, or it is no longer there.
  private static func claim(
    _ url: URL, for target: URL
  ) throws -> (descriptor: Int32, isLocked: Bool)? {
    let descriptor = open(url.path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    guard descriptor >= 0 else {
      if errno == ENOENT { return nil }
      throw CheckpointError.unwritable(path: target.path, code: errno)
    }
    let isLocked = flock(descriptor, LOCK_EX | LOCK_NB) == 0
    let isTaken = !isLocked && errno == EWOULDBLOCK
    // Nobody makes the same name again, and who had the lock let go of it when nothing was there.
    guard !isTaken, access(url.path, F_OK) == 0 else {
      close(descriptor)
      return nil
    }
    return (descriptor, isLocked)
  }
}
