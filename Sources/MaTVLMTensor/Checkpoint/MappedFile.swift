import Foundation

/// A regular file, mapped read-only as long as the object lives.
///
/// Replacing the file by renaming leaves the mapping intact. Another process that shortens it in
/// place makes reading the lost pages end this process; nothing here writes in place.
package final class MappedFile: Sendable {
  package let url: URL
  package nonisolated(unsafe) let bytes: UnsafeRawBufferPointer

  /// - Throws: ``CheckpointError`` when there is no such file, or it is a folder, a pipe or a device.
  package init(_ url: URL) throws {
    self.url = url
    // O_NONBLOCK: opening a pipe without a writer would wait for one.
    let descriptor = open(url.path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { throw Self.failure(url, errno) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw Self.failure(url, errno) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw CheckpointError.unreadable(
        path: url.path,
        cause: status.st_mode & S_IFMT == S_IFDIR ? "it is a folder" : "it is not a regular file")
    }
    let count = Int(status.st_size)
    guard count > 0 else {  // an empty mapping is an error to mmap
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    guard let base = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0), base != MAP_FAILED
    else { throw Self.failure(url, errno) }
    #if os(Linux)
      // What is not in memory yet comes in large pages: fewer reads, and fewer addresses to look up for
      // each pass over the weights. A system that does not have them does as it likes.
      madvise(base, count, MADV_HUGEPAGE)
    #endif
    bytes = UnsafeRawBufferPointer(start: base, count: count)
  }

  /// Gives back the memory of bytes that are not needed soon; reading them again reads the file.
  func release(_ range: Range<Int>) {
    guard let base = bytes.baseAddress else { return }
    let page = Int(getpagesize())
    // Only whole pages: others may belong to a tensor in use.
    let (start, end) = ((range.lowerBound + page - 1) / page * page, range.upperBound / page * page)
    guard start < end else { return }
    madvise(UnsafeMutableRawPointer(mutating: base + start), end - start, MADV_DONTNEED)
  }

  deinit {
    if let base = bytes.baseAddress {
      munmap(UnsafeMutableRawPointer(mutating: base), bytes.count)
    }
  }

  private static func failure(_ url: URL, _ code: Int32) -> CheckpointError {
    .unreadable(path: url.path, cause: String(cString: strerror(code)))
  }
}
