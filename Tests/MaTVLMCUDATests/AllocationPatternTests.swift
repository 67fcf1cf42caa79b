import MaTVLMCUDA
import MaTVLMTensor
import Testing

@Suite("Many blocks of a card's memory")
struct AllocationPatternTests {
  private struct Block {
    let address: UInt64
    let byteCount: Int

    var end: UInt64 { address + UInt64(CachingAllocator.rounded(byteCount)) }
  }

  @Test(
    "blocks come and go for long: none overlaps another, bytes add up, and none is lost",
    arguments: 1...3 as ClosedRange<UInt64>, [0, CachingAllocator.slab])
  func random(seed: UInt64, largerThan least: Int) throws {
    let card = CardWithoutCard(capacity: 600 << 20)
    var allocator = card.allocator()
    var generator = RandomGenerator(seed: seed)
    func below(_ count: Int) -> Int { Int(generator.next() % UInt64(count)) }
    var blocks: [Block] = []  // by address
    var refusals = 0
    for step in 0..<20_000 {
      // Now mostly taking, now mostly giving back.
      if below(10) < (step / 1000 % 2 == 0 ? 6 : 4) {
        let byteCount = least + 1 + below(1 << below(28))  // up to 128 MiB, mostly much less
        do {
          let block = Block(address: try allocator.allocate(byteCount), byteCount: byteCount)
          let index = blocks.firstIndex { $0.address >= block.address } ?? blocks.count
          #expect(index == 0 || blocks[index - 1].end <= block.address)
          #expect(index == blocks.count || block.end <= blocks[index].address)
          #expect(block.address % 512 == 0)
          #expect(card.contains(block.address, byteCount: Int(block.end - block.address)))
          blocks.insert(block, at: index)
        } catch CUDAError.outOfMemory {
          refusals += 1
        }
      } else if !blocks.isEmpty {
        let block = blocks.remove(at: below(blocks.count))
        allocator.free(block.address, byteCount: block.byteCount)
      }
      if below(500) == 0 { try allocator.trim() }
      let used = blocks.reduce(0) { $0 + CachingAllocator.rounded($1.byteCount) }
      #expect(allocator.used == used && used <= allocator.reserved)
      #expect(allocator.reserved == card.out && allocator.peak >= used)
    }
    #expect(refusals > 0)  // Memory ran out, too.
    for block in blocks { allocator.free(block.address, byteCount: block.byteCount) }
    #expect(allocator.used == 0)
    try allocator.trim()
    #expect(allocator.reserved == card.out)
    // What slabs were cut from is kept.
    #expect(least == 0 || card.out == 0)
    try allocator.releaseAll()
    #expect(card.out == 0)
  }

  /// Bytes that tensors of a model of Phi-2's size have in bfloat16: matrices as they are loaded, keys
  /// and values of a context of 16384 rows and a short answer, and a pass of 4096 rows in a block.
  private func sizes(mambaLayers: Int) -> [Int] {
    let (width, tower) = (2560, 1152)
    let layers = (0..<32).map { layer -> [Int] in
      let mixer =
        layer < mambaLayers
        ? [(4 * width + 32) * width, width * width]
        : Array(repeating: width * width, count: 4)
      return mixer + [4 * width * width, 4 * width * width]
    }
    let vision = (0..<26).flatMap { _ in
      Array(repeating: tower * tower, count: 4) + [tower * 4304, tower * 4304]
    }
    let connector = [tower * width, width * width]
    let cache = Array(repeating: (16384 + 10) * width, count: 2 * (32 - mambaLayers))
    // The stream, its norm, q, k and v, what attention makes of them, the new stream; the MLP's.
    let pass = Array(repeating: 4096 * width, count: 7) + [4096 * 4 * width]
    let vocabulary = [51200 * width]
    return (vision + connector + vocabulary + layers.flatMap(\.self) + vocabulary + cache + pass)
      .map { 2 * $0 }
  }

  @Test("a large model that reads a long prompt wastes less than one percent", arguments: [0, 8])
  func largeModel(mambaLayers: Int) throws {
    let card = CardWithoutCard(capacity: 80 << 30)
    var allocator = card.allocator()
    let sizes = sizes(mambaLayers: mambaLayers)
    for size in sizes { _ = try allocator.allocate(size) }
    let wanted = sizes.reduce(0, +)
    #expect(allocator.used - wanted < wanted / 10_000)
    #expect(card.out - wanted < wanted / 100)
  }

  @Test("what recurs at every update needs no more memory from the second one on")
  func updates() throws {
    let card = CardWithoutCard(capacity: 80 << 30)
    var allocator = card.allocator()
    var generator = RandomGenerator(seed: 9)
    // Activations of layers, given back in the other order; moments that come with the first update.
    let activations = (0..<400).map { _ in Int(generator.next() % UInt64(40 << 20)) }
    var reserved: [Int] = []
    for update in 0..<6 {
      let blocks = try activations.map { try allocator.allocate($0) }
      for index in activations.indices.reversed() {
        allocator.free(blocks[index], byteCount: activations[index])
      }
      if update == 0 { for _ in 0..<50 { _ = try allocator.allocate(9 << 20) } }
      reserved.append(card.out)
    }
    #expect(Set(reserved[1...]).count == 1)
    #expect(reserved.last! - allocator.peak < allocator.peak / 20)
  }
}
