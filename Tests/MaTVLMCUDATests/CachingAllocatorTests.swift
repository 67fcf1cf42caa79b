import MaTVLMCUDA
import Synchronization
import Testing

/// A card's memory without a card: counts what is out and refuses what does not fit.
private final class PretendedCard: Sendable {
  private struct State {
    var next: UInt64 = 1 << 32
    var blocks: [UInt64: Int] = [:]
  }
  private let state = Mutex(State())
  let capacity: Int

  init(capacity: Int) { self.capacity = capacity }

  var out: Int { state.withLock { $0.blocks.values.reduce(0, +) } }

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

@Suite struct CachingAllocatorTests {
  @Test(arguments: [
    (1, 512), (512, 512), (513, 1024), (1 << 20, 1 << 20), ((1 << 20) + 1, 2 << 20),
    (5 << 20, 6 << 20),
  ])
  func sizesAreRounded(byteCount: Int, size: Int) {
    #expect(CachingAllocator.rounded(byteCount) == size)
  }

  @Test func smallBlocksShareASlabAndDoNotOverlap() throws {
    let card = PretendedCard(capacity: 64 << 20)
    var allocator = card.allocator()
    let addresses = try (0..<100).map { _ in try allocator.allocate(700) }
    #expect(card.out == CachingAllocator.slab)
    let sorted = addresses.sorted()
    #expect(zip(sorted, sorted.dropFirst()).allSatisfy { $1 - $0 >= 1024 })
    #expect(addresses.allSatisfy { $0 % 256 == 0 })
  }

  @Test func whatIsGivenBackIsHandedOutAgain() throws {
    let card = PretendedCard(capacity: 64 << 20)
    var allocator = card.allocator()
    for byteCount in [900, 3 << 20] {
      let first = try allocator.allocate(byteCount)
      allocator.free(first, byteCount: byteCount)
      #expect(try allocator.allocate(byteCount) == first)
    }
    #expect(allocator.reserved == card.out)
  }

  @Test func aLargeBlockServesASlightlySmallerRequestOnly() throws {
    let card = PretendedCard(capacity: 256 << 20)
    var allocator = card.allocator()
    let block = try allocator.allocate(32 << 20)
    allocator.free(block, byteCount: 32 << 20)
    #expect(try allocator.allocate(8 << 20) != block)
    #expect(try allocator.allocate(30 << 20) == block)
    allocator.free(block, byteCount: 30 << 20)
    #expect(allocator.used == 8 << 20)
    #expect(try allocator.allocate(32 << 20) == block)  // its whole size was kept
  }

  @Test func keptBlocksAreGivenUpBeforeMemoryRunsOut() throws {
    let card = PretendedCard(capacity: 64 << 20)
    var allocator = card.allocator()
    let block = try allocator.allocate(40 << 20)
    allocator.free(block, byteCount: 40 << 20)
    _ = try allocator.allocate(60 << 20)
    #expect(card.out == 60 << 20)
    #expect(throws: CUDAError.outOfMemory(wanted: 8 << 20, inUse: 60 << 20, total: 64 << 20)) {
      try allocator.allocate(8 << 20)
    }
  }

  @Test func peakIsTheMostInUse() throws {
    var allocator = PretendedCard(capacity: 64 << 20).allocator()
    let block = try allocator.allocate(4 << 20)
    allocator.free(block, byteCount: 4 << 20)
    _ = try allocator.allocate(2 << 20)
    #expect(allocator.peak == 4 << 20)
    allocator.resetPeak()
    #expect(allocator.peak == 2 << 20)
  }
}
