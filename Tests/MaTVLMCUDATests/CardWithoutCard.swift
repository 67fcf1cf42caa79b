import MaTVLMCUDA
import Synchronization

/// A card's memory without a card: counts what is out and refuses what does not fit.
final class CardWithoutCard: Sendable {
  private struct State {
    var next: UInt64 = 1 << 32
    var blocks: [UInt64: Int] = [:]
  }
  private let state = Mutex(State())
  let capacity: Int

  init(capacity: Int) { self.capacity = capacity }

  /// Bytes that are out.
  var out: Int { sizes.reduce(0, +) }

  /// Of each block that is out.
  var sizes: [Int] { state.withLock { Array($0.blocks.values) } }

  /// Whether memory lies in one of the blocks that are out.
  func contains(_ address: UInt64, byteCount: Int) -> Bool {
    state.withLock { state in
      state.blocks.contains { start, size in
        start <= address && address + UInt64(byteCount) <= start + UInt64(size)
      }
    }
  }

  func allocator() -> CachingAllocator {
    CachingAllocator(
      obtain: { size in
        try self.state.withLock { state in
          let used = state.blocks.values.reduce(0, +)
          guard used + size <= self.capacity else {
            throw CUDAError.outOfMemory(wanted: size, inUse: used, total: self.capacity)
          }
          defer { state.next += UInt64(size) }
          state.blocks[state.next] = size
          return state.next
        }
      },
      release: { address in
        _ = self.state.withLock { $0.blocks.removeValue(forKey: address)! }
      })
  }
}
