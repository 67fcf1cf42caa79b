/// Free pieces of segments of memory, neighbours joined.
struct FreeBlocks: Sendable {
  struct Block: Sendable {
    var address: UInt64
    var byteCount: Int

    var end: UInt64 { address + UInt64(byteCount) }
  }

  /// Ascending.
  private(set) var byAddress: [Block] = []
  /// The same by size, and those of one size by address.
  private var bySize: [Block] = []

  /// Cuts memory from the beginning of the smallest block that is large enough, so that large ones
  /// stay whole; of several, of the one with the lowest address, so that the last segments become free.
  mutating func take(_ byteCount: Int) -> UInt64? {
    let index = bySize.partitionPoint { $0.byteCount < byteCount }
    guard index < bySize.count else { return nil }
    let block = bySize[index]
    remove(block)
    if block.byteCount > byteCount {
      add(Block(address: block.address + UInt64(byteCount), byteCount: block.byteCount - byteCount))
    }
    return block.address
  }

  /// Makes a block free.
  /// - Parameter beginsSegment: whether a segment begins at an address: blocks of two are not joined.
  mutating func insert(_ block: Block, beginsSegment: (UInt64) -> Bool) {
    var block = block
    let index = byAddress.partitionPoint { $0.address < block.address }
    if index < byAddress.count, byAddress[index].address == block.end, !beginsSegment(block.end) {
      let next = byAddress[index]
      remove(next)
      block.byteCount += next.byteCount
    }
    if index > 0, byAddress[index - 1].end == block.address, !beginsSegment(block.address) {
      let previous = byAddress[index - 1]
      remove(previous)
      block = Block(
        address: previous.address, byteCount: previous.byteCount + block.byteCount)
    }
    add(block)
  }

  mutating func remove(_ block: Block) {
    byAddress.remove(at: byAddress.partitionPoint { $0.address < block.address })
    bySize.remove(at: bySize.partitionPoint { Self.isSmaller($0, block) })
  }

  mutating func removeAll() { (byAddress, bySize) = ([], []) }

  private mutating func add(_ block: Block) {
    byAddress.insert(block, at: byAddress.partitionPoint { $0.address < block.address })
    bySize.insert(block, at: bySize.partitionPoint { Self.isSmaller($0, block) })
  }

  private static func isSmaller(_ a: Block, _ b: Block) -> Bool {
    (a.byteCount, a.address) < (b.byteCount, b.address)
  }
}

extension Array {
  /// How many elements come before the rest, of which the predicate is false.
  fileprivate func partitionPoint(_ isBefore: (Element) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if isBefore(self[middle]) { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
