import Foundation

/// A file that is written from its beginning to its end.
package final class OutputFile {
  private let reportedPath: String
  private var descriptor: Int32
  /// Bytes so far.
  package private(set) var length = 0

  /// Creates the file, or empties the one that is there.
  /// - Parameter reportedPath: what errors call the file, when `path` is a passing name.
  /// - Throws: ``CheckpointError/unwritable(path:code:)``, as everything here.
  package init(_ path: String, reportedAs reportedPath: String? = nil) throws {
    self.reportedPath = reportedPath ?? path
    descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw failure() }
  }

  /// Goes on with a file after its first `length` bytes; whatever follows them is cut off.
  /// - Throws: ``CheckpointError/malformed(path:tensor:problem:)`` when the file is shorter.
  package init(continuing path: String, after length: Int) throws {
    reportedPath = path
    descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw failure() }
    let end = lseek(descriptor, 0, SEEK_END)
    guard end >= length else {
      throw CheckpointError.malformed(
        path: path, tensor: nil, problem: "expected at least \(length) bytes, found \(end)")
    }
    guard ftruncate(descriptor, off_t(length)) == 0, lseek(descriptor, 0, SEEK_END) == length
    else { throw failure() }
    self.length = length
  }

  deinit {
    if descriptor >= 0 { _ = Foundation.close(descriptor) }
  }

  package func write(_ bytes: UnsafeRawBufferPointer) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let part = UnsafeRawBufferPointer(rebasing: rest)
      let count = Foundation.write(descriptor, part.baseAddress, min(part.count, 1 << 30))
      if count < 0 {
        if errno == EINTR { continue }
        throw failure()
      }
      rest = rest.dropFirst(count)
      length += count
    }
  }

  /// Waits until everything is on the disk.
  package func synchronize() throws {
    guard fsync(descriptor) == 0 || errno == EINVAL else { throw failure() }  // a device: EINVAL
  }

  /// Waits until everything is on the disk, and closes.
  package func close() throws {
    try synchronize()
    let closing = descriptor
    descriptor = -1
    guard Foundation.close(closing) == 0 else { throw failure() }
  }

  private func failure() -> CheckpointError { .unwritable(path: reportedPath, code: errno) }
}

/// A single file that is there whole or not at all.
public enum AtomicFile {
  /// Writes `bytes` beside `url` first, waits until they are on the disk, and renames.
  /// - Throws: ``CheckpointError/unwritable(path:code:)``; `url` is as before then, and nothing is
  ///   left beside it.
  public static func write(_ bytes: some ContiguousBytes, to url: URL) throws {
    try write(to: url) { output in try bytes.withUnsafeBytes(output.write) }
  }

  package static func write(to url: URL, _ body: (OutputFile) throws -> Void) throws {
    let temporary = temporarySibling(of: url, "partial")
    do {
      let output = try OutputFile(temporary.path, reportedAs: url.path)
      try body(output)
      try output.close()
      try move(temporary, to: url)
      try synchronize(url.deletingLastPathComponent())
    } catch {
      unlink(temporary.path)
      throw error
    }
  }
}

/// A name beside `url` that nothing has; hidden, so that a folder's readers pass it over.
func temporarySibling(of url: URL, _ purpose: String) -> URL {
  url.deletingLastPathComponent().appending(
    path: ".\(purpose)-\(String(UInt64.random(in: 0...UInt64.max), radix: 16))")
}

/// Renames within a file system, replacing a file or an empty folder at `target`.
package func move(_ source: URL, to target: URL) throws {
  guard rename(source.path, target.path) == 0 else {
    throw CheckpointError.unwritable(path: target.path, code: errno)
  }
}

/// Waits until a file's bytes or a folder's names are on the disk.
package func synchronize(_ url: URL) throws {
  let descriptor = open(url.path, O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else {
    throw CheckpointError.unwritable(path: url.path, code: errno)
  }
  defer { close(descriptor) }
  // Some file systems cannot synchronize a folder and say EINVAL; there is nothing to wait for.
  guard fsync(descriptor) == 0 || errno == EINVAL else {
    throw CheckpointError.unwritable(path: url.path, code: errno)
  }
}
