import Foundation
import Synchronization

/// Memory that is kept after use and handed out again: training makes and drops the same large
/// blocks all the time, and fresh pages from the system cost as much as computing on them.
final class CPUAllocator: Sendable {
  /// Cache-line alignment, which is also a 512-bit vector's.
  private static let alignment = 64
  private let kept: Mutex<KeptBlocks<UInt>>

  /// - Parameter keptLimit: how much unused memory is kept at most.
  init(keptLimit: Int) { kept = Mutex(KeptBlocks(limit: keptLimit)) }

  func allocate(_ byteCount: Int) -> UInt {
    let size = KeptBlocks<UInt>.size(for: byteCount)
    if let reused = kept.withLock({ $0.take(size) }) { return reused }
    guard let address = Self.isMapped(size) ? Self.map(size) : Self.take(size) else {
      fatalError("out of memory: \(size) bytes for a tensor")
    }
    adviseLargePages(address, byteCount)
    return address
  }

  func free(_ address: UInt, _ byteCount: Int) {
    let size = KeptBlocks<UInt>.size(for: byteCount)
    if !kept.withLock({ $0.keep(address, size) }) { Self.release(address, size) }
  }

  /// Gives everything that is kept back to the system.
  func releaseKept() {
    for (address, size) in kept.withLock({ $0.removeAll() }) { Self.release(address, size) }
  }

  /// Gives back what a block in use has beyond its bytes, and what had it before may have written.
  func releaseSlack(_ address: UInt, _ byteCount: Int) {
    let size = KeptBlocks<UInt>.size(for: byteCount)
    guard Self.isMapped(size) else { return }
    let page = UInt(sysconf(Int32(_SC_PAGESIZE)))
    let start = (address + UInt(byteCount) + page - 1) / page * page
    let end = address + UInt(size)
    guard start < end else { return }
    madvise(UnsafeMutableRawPointer(bitPattern: start), Int(end - start), MADV_DONTNEED)
  }

  // MARK: The system

  /// Whether blocks of a size are pages of their own: the C library would keep those that it gets
  /// back between others that are in use.
  private static func isMapped(_ size: Int) -> Bool { size >= 1 << 20 }

  private static func map(_ size: Int) -> UInt? {
    let pages = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    return pages == MAP_FAILED ? nil : UInt(bitPattern: pages)
  }

  private static func take(_ size: Int) -> UInt? {
    var pointer: UnsafeMutableRawPointer?
    let status = posix_memalign(&pointer, alignment, size)
    return status == 0 ? pointer.map { UInt(bitPattern: $0) } : nil
  }

  private static func release(_ address: UInt, _ size: Int) {
    let pointer = UnsafeMutableRawPointer(bitPattern: address)
    if isMapped(size) { munmap(pointer!, size) } else { Foundation.free(pointer) }
  }

  /// Asks for large pages where whole ones fit: reading gigabytes of weights token by token, small
  /// ones cost a look-up each.
  private func adviseLargePages(_ address: UInt, _ byteCount: Int) {
    #if os(Linux)
      let page: UInt = 2 << 20
      let (start, end) = (
        (address + page - 1) / page * page, (address + UInt(byteCount)) / page * page
      )
      guard start < end else { return }
      // Where the system has none, small pages do.
      madvise(UnsafeMutableRawPointer(bitPattern: start), Int(end - start), MADV_HUGEPAGE)
    #endif
  }
}
