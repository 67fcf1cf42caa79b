/// Blocks of memory that were given back and wait to be handed out again, by size.
struct KeptBlocks {
  /// How many bytes are kept at most.
  let limit: Int
  private var blocks: [Int: [UInt]] = [:]  // block size → addresses
  private(set) var bytes = 0

  init(limit: Int) { self.limit = limit }

  /// Block sizes have four steps for each power of two, so that sequences of nearly equal length
  /// reuse each other's memory.
  static func size(for byteCount: Int) -> Int {
    guard byteCount > 256 else { return 256 }
    let step = max(64, (1 << (Int.bitWidth - 1 - byteCount.leadingZeroBitCount)) / 4)
    return (byteCount + step - 1) / step * step
  }

  /// The address of a block of exactly this size; nil when none is kept.
  mutating func take(_ size: Int) -> UInt? {
    guard let address = blocks[size]?.popLast() else { return nil }
    bytes -= size
    return address
  }

  /// - Returns: false when too much is kept already.
  mutating func keep(_ address: UInt, _ size: Int) -> Bool {
    guard bytes + size <= limit else { return false }
    blocks[size, default: []].append(address)
    bytes += size
    return true
  }
}
