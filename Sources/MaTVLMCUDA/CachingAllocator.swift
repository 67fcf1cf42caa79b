/// Device memory that is handed out again after it was given back.
///
/// Asking the driver takes as long as a small kernel and giving back waits for the card, so blocks
/// are kept. All work goes through one stream in order: memory that was given back can be handed out
/// at once, since whoever gets it is queued behind whoever had it.
///
/// Small requests (up to 1 MiB) are rounded to powers of two and cut from slabs of that size. Slabs and
/// large blocks are cut from segments, the smallest free block that fits first, and neighbours that are
/// free grow together again. The driver rounds a segment to 2 MiB, so that it gets room for as many
/// blocks of the size that was asked for as make that cheap: one of 12.5 MiB would cost 14.
package struct CachingAllocator: Sendable {
  private let obtain: @Sendable (Int) throws -> UInt64
  private let release: @Sendable (UInt64) throws -> Void
  private var small: [Int: [UInt64]] = [:]
  /// Sizes of the segments, by where they begin.
  private var segments: [UInt64: Int] = [:]
  private var large = FreeBlocks()
  /// While not nil, large and small blocks that are given back wait here: see ``hold()``.
  private var held: [(address: UInt64, byteCount: Int)]?
  /// Bytes obtained from the driver.
  package private(set) var reserved = 0
  /// Bytes handed out.
  package private(set) var used = 0
  /// The most that was ever handed out since ``resetPeak()``.
  package private(set) var peak = 0

  package static let slab = 1 << 20
  /// What the driver rounds segments to.
  package static let granularity = 2 << 20
  /// Bytes of a segment for several blocks at most. Half of it is left over of the last one on average,
  /// and smaller ones waste more: keys of 16384 rows at Phi-2's width, of 80.1 MiB, would cost 82 each.
  private static let mostOfSeveral = 192 << 20
  /// Large blocks begin at multiples of this within their segments: more than cuBLASLt's 256, which
  /// algorithms are chosen for.
  private static let alignment = 512

  /// - Parameters:
  ///   - obtain: gets memory from the driver, aligned to 256 bytes at least; throws when there is
  ///     none.
  ///   - release: gives it back.
  package init(
    obtain: @escaping @Sendable (Int) throws -> UInt64,
    release: @escaping @Sendable (UInt64) throws -> Void
  ) {
    self.obtain = obtain
    self.release = release
  }

  /// The size of the block that a request gets.
  package static func rounded(_ byteCount: Int) -> Int {
    if byteCount <= slab {
      var size = 512
      while size < byteCount { size *= 2 }
      return size
    }
    return rounded(byteCount, to: alignment)
  }

  private static func rounded(_ byteCount: Int, to unit: Int) -> Int {
    (byteCount + unit - 1) / unit * unit
  }

  /// The size of a segment for blocks of a size: of the number of them with which rounding costs least,
  /// or the first with which it costs hardly anything.
  private static func segmentSize(of blockSize: Int) -> Int {
    var best = (size: rounded(blockSize, to: granularity), blocks: blockSize)
    for blocks in stride(from: blockSize, through: mostOfSeveral, by: blockSize) {
      let size = rounded(blocks, to: granularity)
      if blocks * best.size > best.blocks * size { best = (size, blocks) }
      if (best.size - best.blocks) * 256 <= best.size { break }
    }
    return best.size
  }

  /// - Throws: what the driver says when it has no memory even after everything kept was given
  ///   back.
  package mutating func allocate(_ byteCount: Int) throws -> UInt64 {
    let size = Self.rounded(byteCount)
    let address =
      size <= Self.slab ? try allocateSmall(size) : try allocateLarge(size)
    used += size
    peak = max(peak, used)
    return address
  }

  package mutating func free(_ address: UInt64, byteCount: Int) {
    if held != nil {
      held!.append((address, byteCount))
      return
    }
    let size = Self.rounded(byteCount)
    used -= size
    if size <= Self.slab {
      small[size, default: []].append(address)
    } else {
      keepLarge(.init(address: address, byteCount: size))
    }
  }

  /// From now on nothing that is given back is handed out again, because recorded work will use it
  /// again.
  package mutating func hold() { held = [] }

  /// Ends ``hold()``; the blocks stay out of use until they are given back with ``free(_:byteCount:)``.
  package mutating func endHold() -> [(address: UInt64, byteCount: Int)] {
    defer { held = nil }
    return held ?? []
  }

  package mutating func resetPeak() { peak = used }

  /// Gives every segment back to the driver that nothing is in use of.
  package mutating func trim() throws {
    for block in large.byAddress where segments[block.address] == block.byteCount {
      try release(block.address)
      large.remove(block)
      segments[block.address] = nil
      reserved -= block.byteCount
    }
  }

  /// Gives everything back to the driver, what is handed out too: nobody uses it any more.
  /// - Throws: what the driver says; the rest is still given back.
  package mutating func releaseAll() throws {
    var failure: (any Error)?
    for block in segments.keys {
      do { try release(block) } catch { failure = failure ?? error }
    }
    (small, segments) = ([:], [:])
    large.removeAll()
    (reserved, used, peak) = (0, 0, 0)
    if let failure { throw failure }
  }

  private mutating func allocateSmall(_ size: Int) throws -> UInt64 {
    if let address = small[size]?.popLast() { return address }
    let slab = try allocateLarge(Self.slab)
    let pieces = stride(from: slab, to: slab + UInt64(Self.slab), by: size)
    small[size, default: []].append(contentsOf: pieces.reversed())
    return small[size]!.popLast()!
  }

  private mutating func allocateLarge(_ size: Int) throws -> UInt64 {
    if let address = large.take(size) { return address }
    let segment = try obtainSegment(of: size)
    reserved += segment.byteCount
    segments[segment.address] = segment.byteCount
    keepLarge(segment)
    return large.take(size)!
  }

  private mutating func keepLarge(_ block: FreeBlocks.Block) {
    large.insert(block) { segments[$0] != nil }
  }

  /// Memory for a block at least.
  private mutating func obtainSegment(of blockSize: Int) throws -> FreeBlocks.Block {
    func attempt(_ size: Int) throws -> FreeBlocks.Block? {
      do {
        return .init(address: try obtain(size), byteCount: size)
      } catch CUDAError.outOfMemory {
        return nil
      }
    }
    let least = Self.rounded(blockSize, to: Self.granularity)
    if let segment = try attempt(Self.segmentSize(of: blockSize)) ?? attempt(least) {
      return segment
    }
    try trim()
    return .init(address: try obtain(least), byteCount: least)
  }
}
