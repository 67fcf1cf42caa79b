import MaTVLMTensor

extension CUDABackend {
  package func attention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, _ geometry: AttentionGeometry, _ segments: Segments
  ) -> (output: Tensor, logSumExp: Tensor) {
    let tiles = AttentionTiles(geometry, sharedType("attention", q, k, v))
    check(q, k, v, geometry, segments)
    let output = empty(q.shape, q.dtype)
    let logSumExp = empty([q.shape.rows, geometry.heads], .float32)
    let all = 0..<segments.count
    launch(
      tiles.source(.attention), "attention",
      grid: Grid(tileCount(segments, of: all, rows: tiles.queries), geometry.heads), block: 128,
      sharedBytes: tiles.sharedBytes,
      [
        .tensor(output), .tensor(logSumExp), .tensor(q), .tensor(k), .tensor(v),
        Self.noAddresses, Self.noAddresses, .int32(0), .address(0),
        table(.tiles(segments, of: all, rows: tiles.queries)), geometry.argument,
      ])
    return (output, logSumExp)
  }

  package func attentionGradient(
    _ dy: Tensor, _ q: Tensor, _ k: Tensor, _ v: Tensor, output: Tensor, logSumExp: Tensor,
    _ geometry: AttentionGeometry, _ segments: Segments
  ) -> (q: Tensor, k: Tensor, v: Tensor) {
    check(q, k, v, geometry, segments)
    let type = sharedType("attentionGradient", dy, q, k, v, output)
    let tiles = AttentionTiles(geometry, type)
    let (dq, dk, dv) = (empty(q.shape, type), empty(k.shape, type), empty(v.shape, type))
    let delta = empty([q.shape.rows, geometry.heads], .float32)
    let source = tiles.source(.attentionGradient)
    launch(
      source, "attentionDelta", grid: Grid(q.shape.rows),
      [.tensor(delta), .tensor(dy), .tensor(output), .int32(geometry.heads)])
    let owned = AttentionTiles.gradientRows
    let all = 0..<segments.count
    let count = tileCount(segments, of: all, rows: owned)
    let shared: [KernelArgument] = [
      .tensor(dy), .tensor(q), .tensor(k), .tensor(v), .tensor(logSumExp), .tensor(delta),
      table(.tiles(segments, of: all, rows: owned)), geometry.argument,
    ]
    launch(
      source, "attentionKeyValueGradient", grid: Grid(count, geometry.keyValueHeads), block: 128,
      sharedBytes: tiles.gradientSharedBytes, [.tensor(dk), .tensor(dv)] + shared)
    launch(
      source, "attentionQueryGradient", grid: Grid(count, geometry.heads), block: 128,
      sharedBytes: tiles.gradientSharedBytes, [.tensor(dq)] + shared)
    return (dq, dk, dv)
  }

  package func appendRows(
    _ x: Tensor, to caches: [Tensor], positions: Tensor, _ segments: Segments
  ) {
    require(
      caches.count == segments.count && segments.rows == x.shape.rows
        && caches.allSatisfy { $0.shape.width == x.shape.width && $0.dtype == x.dtype },
      "appendRows: x \(x.shape) to \(caches.map(\.shape)), \(segments.rows) rows")
    for group in Self.groups(segments) {
      let first = segments.starts[group.lowerBound]
      launch(
        .rows, "appendRows", x.dtype,
        grid: Grid(segments.starts[group.upperBound] - first),
        [
          Self.addresses(caches[group]), .tensor(x), .tensor(positions), table(.owners(segments)),
          .int32(first), .int32(group.lowerBound), .int32(x.shape.width),
        ])
    }
  }

  package func cachedAttention(
    _ q: Tensor, keys: [Tensor], values: [Tensor], positions: Tensor,
    _ geometry: AttentionGeometry, _ segments: Segments
  ) -> Tensor {
    require(
      keys.count == segments.count && values.count == segments.count
        && segments.rows == q.shape.rows && positions.shape.count == q.shape.rows,
      "cachedAttention: q \(q.shape), \(keys.count) caches, \(segments.rows) rows")
    let output = empty(q.shape, q.dtype)
    for group in Self.groups(segments) {
      let cached = CachedKeys(
        keys: Self.addresses(keys[group]), values: Self.addresses(values[group]),
        capacity: keys[group].map(\.shape.rows).max() ?? 0, group: group)
      // Tiles of queries share keys; for one or two rows of each sequence they would mostly idle.
      if segments.lengths[group].contains(where: { $0 > 8 }) {
        attendTiled(q, cached, positions, geometry, segments, into: output)
      } else {
        attendSplit(q, cached, positions, geometry, segments, into: output)
      }
    }
    return output
  }

  private struct CachedKeys {
    let keys: KernelArgument
    let values: KernelArgument
    let capacity: Int
    let group: Range<Int>
  }

  private func attendTiled(
    _ q: Tensor, _ cached: CachedKeys, _ positions: Tensor, _ geometry: AttentionGeometry,
    _ segments: Segments, into output: Tensor
  ) {
    let tiles = AttentionTiles(geometry, q.dtype)
    launch(
      tiles.source(.attention), "attention",
      grid: Grid(tileCount(segments, of: cached.group, rows: tiles.queries), geometry.heads),
      block: 128, sharedBytes: tiles.sharedBytes,
      [
        .tensor(output), .address(0), .tensor(q), .address(0), .address(0), cached.keys,
        cached.values, .int32(cached.group.lowerBound), .tensor(positions),
        table(.tiles(segments, of: cached.group, rows: tiles.queries)), geometry.argument,
      ])
  }

  private func attendSplit(
    _ q: Tensor, _ cached: CachedKeys, _ positions: Tensor, _ geometry: AttentionGeometry,
    _ segments: Segments, into output: Tensor
  ) {
    let first = segments.starts[cached.group.lowerBound]
    let rows = segments.starts[cached.group.upperBound] - first
    guard rows > 0 else { return }
    let tiles = AttentionTiles(geometry, q.dtype)
    // As many blocks as the card holds at once, and no more shares than tiles of keys.
    let resident =
      device.multiprocessors * max(1, device.sharedMemoryLimit / tiles.splitSharedBytes)
    let splits = max(
      1, min(resident / (rows * geometry.heads), (cached.capacity + 63) / 64, 512))
    let partial = empty([rows, geometry.heads, splits, geometry.headWidth + 2], .float32)
    launch(
      tiles.source(.cachedAttention), "splitAttention",
      grid: Grid(splits, geometry.heads, rows), block: 128, sharedBytes: tiles.splitSharedBytes,
      [
        .tensor(partial), .tensor(q), cached.keys, cached.values, .tensor(positions),
        table(.owners(segments)), .int32(first), .int32(cached.group.lowerBound),
        .int32(geometry.heads), .int32(geometry.keyValueHeads), .float(geometry.scale),
      ])
    launch(
      tiles.source(.cachedAttention), "combineAttention", grid: Grid(geometry.heads, rows),
      block: 128,
      [
        .tensor(output), .tensor(partial), .int32(first), .int32(geometry.heads), .int32(splits),
      ])
  }

  private func check(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, _ geometry: AttentionGeometry, _ segments: Segments
  ) {
    let rows = segments.rows
    require(
      q.shape == [rows, geometry.heads * geometry.headWidth] && k.shape == v.shape
        && k.shape == [rows, geometry.keyValueHeads * geometry.headWidth],
      "attention: q \(q.shape), k \(k.shape), v \(v.shape), \(rows) rows, \(geometry)")
  }

  // MARK: Caches of several sequences

  /// Caches whose addresses one launch takes (`SEGMENTS_AT_ONCE`).
  private static let segmentsAtOnce = 32
  private static let noAddresses = KernelArgument.words(Array(repeating: 0, count: segmentsAtOnce))

  private static func addresses(_ tensors: ArraySlice<Tensor>) -> KernelArgument {
    let padding = Array(repeating: UInt64(0), count: segmentsAtOnce - tensors.count)
    return .words(tensors.map(\.address) + padding)
  }

  private static func groups(_ segments: Segments) -> [Range<Int>] {
    stride(from: 0, to: segments.count, by: segmentsAtOnce).map {
      $0..<min(segments.count, $0 + segmentsAtOnce)
    }
  }
}

/// The sizes of tiles that the attention kernels have, as their files define them.
private struct AttentionTiles {
  let geometry: AttentionGeometry
  let type: DType

  init(_ geometry: AttentionGeometry, _ type: DType) {
    self.geometry = geometry
    self.type = type
  }

  private var isHalf: Bool { type.byteCount == 2 }
  private var padded: Int { (geometry.headWidth + 15) / 16 * 16 }
  private var rowBytes: Int { (padded + 8) * type.byteCount }
  /// `QUERIES` of attention.cu.
  var queries: Int { isHalf && padded <= 128 ? 128 : 64 }
  private var keys: Int { isHalf ? 64 : 32 }
  var sharedBytes: Int { (queries + 4 * keys) * rowBytes }
  /// `ROWS` of attention_gradient.cu.
  static let gradientRows = 64
  var gradientSharedBytes: Int {
    let step = isHalf ? 32 : 16
    return 2 * (Self.gradientRows + step) * rowBytes + 2 * step * 4
  }
  /// Three stages of 64 keys and values, a query and the scores of cached_attention.cu.
  var splitSharedBytes: Int {
    let lanes = 16 / type.byteCount
    let width = (geometry.headWidth + lanes - 1) / lanes * lanes
    return 6 * 64 * (width + lanes) * type.byteCount + (width + 64) * 4
  }

  func source(_ file: KernelFile) -> KernelSource {
    var source = KernelSource(file, type)
    source.headWidth = geometry.headWidth
    return source
  }
}

extension AttentionGeometry {
  /// `struct Geometry` of the kernels: two words.
  fileprivate var argument: KernelArgument {
    .words([
      UInt64(heads) | UInt64(keyValueHeads) << 32,
      UInt64(scale.bitPattern) | UInt64(isCausal ? 1 : 0) << 32,
    ])
  }
}
