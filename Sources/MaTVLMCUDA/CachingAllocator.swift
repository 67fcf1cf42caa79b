/// Device memory that is handed out again after it was given back.
///
/// Asking the driver takes as long as a small kernel and giving back waits for the card, so blocks
/// are kept. All work goes through one stream in order: memory that was given back can be handed out
/// at once, since whoever gets it is queued behind whoever had it.
///
/// Small requests (up to 1 MiB) are rounded to powers of two and cut from slabs of 2 MiB; large ones
/// are rounded to 2 MiB and taken from kept blocks of at most an eighth more.
package struct CachingAllocator: Sendable {
  private let obtain: @Sendable (Int) throws -> UInt64
  private let release: @Sendable (UInt64) throws -> Void
  private var small: [Int: [UInt64]] = [:]
  private var large: [Int: [UInt64]] = [:]
  /// Sizes in `large` that have blocks, ascending.
  private var largeSizes: [Int] = []
  /// What each large block in use really has.
  private var granted: [UInt64: Int] = [:]
  /// While not nil, large and small blocks that are given back wait here: see ``hold()``.
  private var held: [(address: UInt64, byteCount: Int)]?
  /// Where slabs begin that small blocks are cut from.
  private var slabs: [UInt64] = []
  /// Bytes obtained from the driver.
  package private(set) var reserved = 0
  /// Bytes handed out.
  package private(set) var used = 0
  /// The most that was ever handed out since ``resetPeak()``.
  package private(set) var peak = 0

  package static let smallLimit = 1 << 20
  package static let slab = 2 << 20

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

  /// The size of the block that a request gets when nothing is kept.
  package static func rounded(_ byteCount: Int) -> Int {
    if byteCount <= smallLimit {
      var size = 512
      while size < byteCount { size *= 2 }
      return size
    }
    return (byteCount + slab - 1) / slab * slab
  }

  /// - Throws: what the driver says when it has no memory even after everything kept was given
  ///   back.
  package mutating func allocate(_ byteCount: Int) throws -> UInt64 {
    let size = Self.rounded(byteCount)
    let address =
      size <= Self.smallLimit ? try allocateSmall(size) : try allocateLarge(size)
    used += granted[address] ?? size
    peak = max(peak, used)
    return address
  }

  package mutating func free(_ address: UInt64, byteCount: Int) {
    if held != nil {
      held!.append((address, byteCount))
      return
    }
    if let size = granted.removeValue(forKey: address) {
      used -= size
      keepLarge(address, size)
    } else {
      let size = Self.rounded(byteCount)
      used -= size
      small[size, default: []].append(address)
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

  /// Gives every kept large block back to the driver.
  package mutating func trim() throws {
    for (size, blocks) in large {
      for block in blocks {
        try release(block)
        reserved -= size
      }
    }
    large = [:]
    largeSizes = []
  }

  /// Gives everything back to the driver, what is handed out too: nobody uses it any more.
  /// - Throws: what the driver says; the rest is still given back.
  package mutating func releaseAll() throws {
    var failure: (any Error)?
    for block in slabs + Array(granted.keys) + large.values.flatMap({ $0 }) {
      do { try release(block) } catch { failure = failure ?? error }
    }
    (slabs, small, granted, large, largeSizes) = ([], [:], [:], [:], [])
    (reserved, used, peak) = (0, 0, 0)
    if let failure { throw failure }
  }

  private mutating func allocateSmall(_ size: Int) throws -> UInt64 {
    if let address = small[size]?.popLast() { return address }
    let slab = try obtainTrimming(Self.slab)
    reserved += Self.slab
    slabs.append(slab)
    let pieces = stride(from: slab, to: slab + UInt64(Self.slab), by: size)
    small[size, default: []].append(contentsOf: pieces.reversed())
    return small[size]!.popLast()!
  }

  private mutating func allocateLarge(_ size: Int) throws -> UInt64 {
    if let index = largeSizes.firstIndex(where: { $0 >= size }),
      largeSizes[index] <= size + size / 8
    {
      let found = largeSizes[index]
      let address = large[found]!.removeLast()
      if large[found]!.isEmpty { largeSizes.remove(at: index) }
      granted[address] = found
      return address
    }
    let address = try obtainTrimming(size)
    reserved += size
    granted[address] = size
    return address
  }

  private mutating func keepLarge(_ address: UInt64, _ size: Int) {
    if large[size, default: []].isEmpty {
      largeSizes.insert(size, at: largeSizes.firstIndex { $0 > size } ?? largeSizes.count)
    }
    large[size, default: []].append(address)
  }

  private mutating func obtainTrimming(_ size: Int) throws -> UInt64 {
    do {
      return try obtain(size)
    } catch CUDAError.outOfMemory {
      try trim()
      return try obtain(size)
    }
  }
}
