import Foundation
import Synchronization

/// Memory that is kept after use and handed out again: training makes and drops the same large
/// blocks all the time, and fresh pages from the system cost as much as computing on them.
final class CPUAllocator: Sendable {
  /// Cache-line alignment, which is also a 512-bit vector's.
  private static let alignment = 64
  /// How much unused memory is kept at most.
  private let keptLimit: Int

  private struct State {
    var kept: [Int: [UInt]] = [:]  // block size → addresses
    var keptBytes = 0
  }

  private let state = Mutex(State())

  init(keptLimit: Int) { self.keptLimit = keptLimit }

  /// Block sizes have four steps for each power of two, so that sequences of nearly equal length
  /// reuse each other's memory.
  static func blockSize(_ byteCount: Int) -> Int {
    guard byteCount > 256 else { return 256 }
    let step = max(64, (1 << (Int.bitWidth - 1 - byteCount.leadingZeroBitCount)) / 4)
    return (byteCount + step - 1) / step * step
  }

  func allocate(_ byteCount: Int) -> UInt {
    let size = Self.blockSize(byteCount)
    let reused = state.withLock { state -> UInt? in
      guard let address = state.kept[size]?.popLast() else { return nil }
      state.keptBytes -= size
      return address
    }
    if let reused { return reused }
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
    let size = Self.blockSize(byteCount)
    let keep = state.withLock { state in
      guard state.keptBytes + size <= keptLimit else { return false }
      state.kept[size, default: []].append(address)
      state.keptBytes += size
      return true
    }
    if !keep { Foundation.free(UnsafeMutableRawPointer(bitPattern: address)) }
  }
}
