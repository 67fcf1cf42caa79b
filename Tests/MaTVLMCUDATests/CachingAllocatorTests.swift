import MaTVLMCUDA
import Testing

@Suite struct CachingAllocatorTests {
  @Test(arguments: [
    (1, 512), (512, 512), (513, 1024), (1 << 20, 1 << 20), ((1 << 20) + 1, (1 << 20) + 512),
    (5 << 20, 5 << 20), (2560 * 2560 * 2 + 2, 2560 * 2560 * 2 + 512),
  ])
  func sizesAreRounded(byteCount: Int, size: Int) {
    #expect(CachingAllocator.rounded(byteCount) == size)
  }

  @Test func smallBlocksShareASlabAndDoNotOverlap() throws {
    let card = CardWithoutCard(capacity: 64 << 20)
    var allocator = card.allocator()
    let addresses = try (0..<100).map { _ in try allocator.allocate(700) }
    #expect(card.out == CachingAllocator.granularity)
    let sorted = addresses.sorted()
    #expect(zip(sorted, sorted.dropFirst()).allSatisfy { $1 - $0 >= 1024 })
    #expect(addresses.allSatisfy { $0 % 256 == 0 })
  }

  @Test func whatIsGivenBackIsHandedOutAgain() throws {
    let card = CardWithoutCard(capacity: 64 << 20)
    var allocator = card.allocator()
    for byteCount in [900, 3 << 20] {
      let first = try allocator.allocate(byteCount)
      allocator.free(first, byteCount: byteCount)
      #expect(try allocator.allocate(byteCount) == first)
    }
    #expect(allocator.reserved == card.out)
  }

  @Test func aLargeRequestIsCutFromTheSmallestFreeBlockThatFits() throws {
    let card = CardWithoutCard(capacity: 256 << 20)
    var allocator = card.allocator()
    let blocks = try [32, 40, 24].map { try allocator.allocate($0 << 20) }
    for (block, size) in zip(blocks, [32, 40, 24]) { allocator.free(block, byteCount: size << 20) }
    #expect(try allocator.allocate(30 << 20) == blocks[0])
    #expect(try allocator.allocate(2 << 20) == blocks[0] + 30 << 20)  // the rest of it
    #expect(try allocator.allocate(20 << 20) == blocks[2])
    #expect(try allocator.allocate(40 << 20) == blocks[1])
    #expect(allocator.used == 92 << 20 && allocator.reserved == 96 << 20 && card.out == 96 << 20)
  }

  /// Four of these are 50 MiB; one would cost 14.
  private let size = 12 << 20 + 1 << 19

  @Test(arguments: [[0, 1, 2, 3], [3, 2, 1, 0], [0, 2, 3, 1], [1, 3, 0, 2]])
  func freeNeighboursBecomeOne(order: [Int]) throws {
    let card = CardWithoutCard(capacity: 256 << 20)
    var allocator = card.allocator()
    let blocks = try order.map { _ in try allocator.allocate(size) }
    #expect(card.out == 50 << 20)
    let next = try allocator.allocate(40 << 20)  // a segment that begins where the other one ends
    #expect(next == blocks[0] + 50 << 20)
    for index in order { allocator.free(blocks[index], byteCount: size) }
    allocator.free(next, byteCount: 40 << 20)
    #expect(try allocator.allocate(50 << 20) == blocks[0])
    #expect(try allocator.allocate(40 << 20) == next)
    #expect(card.out == 90 << 20)
  }

  @Test func aSegmentThatNothingIsInUseOfIsGivenBack() throws {
    let card = CardWithoutCard(capacity: 256 << 20)
    var allocator = card.allocator()
    let blocks = try (0..<8).map { _ in try allocator.allocate(size) }
    #expect(card.out == 100 << 20)
    for block in blocks.dropLast() { allocator.free(block, byteCount: size) }
    try allocator.trim()
    #expect(card.out == 50 << 20 && allocator.reserved == 50 << 20 && allocator.used == size)
    #expect(card.contains(blocks[7], byteCount: size))
    allocator.free(blocks[7], byteCount: size)
    try allocator.trim()
    #expect(card.out == 0 && allocator.reserved == 0 && allocator.used == 0)
  }

  @Test func whereThereIsNoRoomForASegmentThereMayBeForABlock() throws {
    let card = CardWithoutCard(capacity: 20 << 20)
    var allocator = card.allocator()
    _ = try allocator.allocate(size)
    #expect(card.out == 14 << 20 && allocator.reserved == 14 << 20)
  }

  @Test func keptBlocksAreGivenUpBeforeMemoryRunsOut() throws {
    let card = CardWithoutCard(capacity: 64 << 20)
    var allocator = card.allocator()
    let block = try allocator.allocate(40 << 20)
    allocator.free(block, byteCount: 40 << 20)
    _ = try allocator.allocate(60 << 20)
    #expect(card.out == 60 << 20)
    #expect(throws: CUDAError.outOfMemory(wanted: 8 << 20, inUse: 60 << 20, total: 64 << 20)) {
      try allocator.allocate(8 << 20)
    }
  }

  @Test func blocksThatAreHeldAreNotHandedOut() throws {
    var allocator = CardWithoutCard(capacity: 256 << 20).allocator()
    let block = try allocator.allocate(20 << 20)
    allocator.hold()
    allocator.free(block, byteCount: 20 << 20)
    let other = try allocator.allocate(20 << 20)
    #expect(other != block)
    let held = allocator.endHold()
    #expect(held.map(\.address) == [block] && allocator.used == 40 << 20)
    try allocator.trim()
    for (address, byteCount) in held { allocator.free(address, byteCount: byteCount) }
    #expect(try allocator.allocate(20 << 20) == block)
  }

  @Test func everythingIsGivenBackInTheEnd() throws {
    let card = CardWithoutCard(capacity: 256 << 20)
    var allocator = card.allocator()
    let blocks = try [700, 3 << 20, 50 << 20].map { try allocator.allocate($0) }
    allocator.free(blocks[1], byteCount: 3 << 20)
    try allocator.releaseAll()
    #expect(card.out == 0 && allocator.reserved == 0 && allocator.used == 0)
    _ = try allocator.allocate(50 << 20)
    #expect(card.out == 50 << 20)
  }

  @Test func peakIsTheMostInUse() throws {
    var allocator = CardWithoutCard(capacity: 64 << 20).allocator()
    let block = try allocator.allocate(4 << 20)
    allocator.free(block, byteCount: 4 << 20)
    _ = try allocator.allocate(2 << 20)
    #expect(allocator.peak == 4 << 20)
    allocator.resetPeak()
    #expect(allocator.peak == 2 << 20)
  }
}
