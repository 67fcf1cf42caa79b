/// What memory is used for.
package enum MemoryUse: Int, CaseIterable, Sendable {
  /// Weights that do not change, in mapped files or in memory of their own.
  case frozen
  /// Values of what trains.
  case trained
  case gradients
  /// AdamW's.
  case moments
  /// What the backward pass will read, and what the forward pass is just making.
  case activations
  /// Logits of a chunk of rows, and the gradient of final rows.
  case losses
  /// What an operation needs while it runs.
  case working
}

/// Bytes that are in use at one moment.
package struct MemoryCount: Sendable, Hashable {
  /// By ``MemoryUse``.
  private var bytes = [Int](repeating: 0, count: MemoryUse.allCases.count)
  /// Given back, and not yet handed out again or returned to the system.
  package fileprivate(set) var kept = 0

  package fileprivate(set) subscript(use: MemoryUse) -> Int {
    get { bytes[use.rawValue] }
    set { bytes[use.rawValue] = newValue }
  }

  /// What tensors have.
  package var used: Int { bytes.reduce(0, +) }

  package var total: Int { used + kept }
}

/// Memory that is not there: what an allocator would have handed out, at present and at most.
struct CountedMemory {
  private struct Block {
    /// Bytes of the last request.
    var requested: Int
    /// Bytes that any request so far can have written.
    var touched: Int
    var use: MemoryUse
  }

  private struct KeptBlock {
    let address: UInt
    let touched: Int
  }

  private typealias Kept = KeptBlocks<KeptBlock>

  /// Those that are in use, by address.
  private var blocks: [UInt: Block] = [:]
  private var kept: Kept
  private var lastAddress: UInt = 0
  private(set) var now = MemoryCount()
  /// When tensors had most.
  private var fullest = MemoryCount()
  /// The largest total.
  private var most = 0

  /// - Parameter keptLimit: bytes that the allocator keeps at most when they are given back.
  init(keptLimit: Int) { kept = Kept(limit: keptLimit) }

  mutating func allocate(_ byteCount: Int, _ use: MemoryUse) -> UInt {
    now[use] += byteCount
    defer { notePeak() }
    // The allocator takes the block that came back last. In which order a dictionary gives its tensors
    // back is another one each time, and a count must not depend on that.
    let old = kept.take(Kept.size(for: byteCount)) { alike in
      alike.indices.max { alike[$0].touched < alike[$1].touched }!
    }
    guard let old else {
      lastAddress += 1
      blocks[lastAddress] = Block(requested: byteCount, touched: byteCount, use: use)
      return lastAddress
    }
    // What a larger request wrote stays resident.
    let touched = max(old.touched, byteCount)
    now.kept += touched - byteCount - old.touched
    blocks[old.address] = Block(requested: byteCount, touched: touched, use: use)
    return old.address
  }

  mutating func free(_ address: UInt) {
    guard let block = blocks.removeValue(forKey: address) else { return }
    now[block.use] -= block.requested
    now.kept -= block.touched - block.requested
    let size = Kept.size(for: block.requested)
    if kept.keep(KeptBlock(address: address, touched: block.touched), size) {
      now.kept += block.touched
    }
  }

  /// nil: nothing is known of the address.
  func use(of address: UInt) -> MemoryUse? { blocks[address]?.use }

  /// Says what a block is used for after all.
  mutating func assign(_ address: UInt, to use: MemoryUse) {
    guard let block = blocks[address] else { return }
    now[block.use] -= block.requested
    now[use] += block.requested
    blocks[address]!.use = use
  }

  /// Says it of every block that is in use.
  mutating func assignAll(to use: MemoryUse) {
    for address in blocks.keys { assign(address, to: use) }
  }

  /// Memory of a mapped file, which is never given back; it has an address, too.
  mutating func map(_ byteCount: Int) -> UInt {
    lastAddress += 1
    now[.frozen] += byteCount
    notePeak()
    return lastAddress
  }

  private mutating func notePeak() {
    most = max(most, now.total)
    if now.used > fullest.used { fullest = now }
  }

  /// What tensors had when they had most; the rest of the largest total was kept.
  var peak: MemoryCount {
    var peak = fullest
    peak.kept = most - fullest.used
    return peak
  }

  /// Forgets the peak so far.
  mutating func resetPeak() { (fullest, most) = (now, now.total) }
}
