/// Blocks of memory that were given back and wait to be handed out again, by size.
///
/// `Block` is what a block is known by: its address, and what else tells two of a size apart.
struct KeptBlocks<Block> {
  /// How many bytes are kept at most.
  let limit: Int
  private var blocks: [Int: [Block]] = [:]  // by size
  private(set) var bytes = 0

  init(limit: Int) { self.limit = limit }

  /// Block sizes have four steps for each power of two, so that sequences of nearly equal length
  /// reuse each other's memory.
  static func size(for byteCount: Int) -> Int {
    guard byteCount > 256 else { return 256 }
    let step = max(64, (1 << (Int.bitWidth - 1 - byteCount.leadingZeroBitCount)) / 4)
    return (byteCount + step - 1) / step * step
  }

  /// A block of exactly this size; nil when none is kept.
  /// - Parameter choose: the place of the one to take; the one that was given back last if not said.
  mutating func take(_ size: Int, _ choose: ([Block]) -> Int = { $0.count - 1 }) -> Block? {
    guard let place = blocks[size].flatMap({ $0.isEmpty ? nil : choose($0) }) else { return nil }
    bytes -= size
    return blocks[size]!.remove(at: place)
  }

  /// Keeps no block any longer.
  /// - Returns: those that were kept, and their sizes.
  mutating func removeAll() -> [(block: Block, size: Int)] {
    defer { (blocks, bytes) = ([:], 0) }
    return blocks.flatMap { size, blocks in blocks.map { ($0, size) } }
  }

  /// - Returns: false when too much is kept already.
  mutating func keep(_ block: Block, _ size: Int) -> Bool {
    guard bytes + size <= limit else { return false }
    blocks[size, default: []].append(block)
    bytes += size
    return true
  }
}
