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
    var pointer: UnsafeMutableRawPointer?
    let status = posix_memalign(&pointer, Self.alignment, size)
    guard status == 0, let pointer else {
      fatalError("out of memory: \(size) bytes for a tensor")
    }
    adviseLargePages(UInt(bitPattern: pointer), byteCount)
    return UInt(bitPattern: pointer)
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

  func free(_ address: UInt, _ byteCount: Int) {
    let size = KeptBlocks<UInt>.size(for: byteCount)
    if kept.withLock({ $0.keep(address, size) }) { return }
    Foundation.free(UnsafeMutableRawPointer(bitPattern: address))
  }
}
