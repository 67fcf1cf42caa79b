import MaTVLMTensor

extension CUDABackend {
  package func appendRows(
    _ x: Tensor, to caches: [Tensor], positions: Tensor, _ segments: Segments
  ) {
    require(
      caches.count == segments.count && segments.rows == x.shape.rows
        && caches.allSatisfy { $0.shape.width == x.shape.width && $0.dtype == x.dtype },
      "appendRows: x \(x.shape) to \(caches.map(\.shape)), \(segments.rows) rows")
    for group in CacheGroup.all(segments) {
      launch(
        .rows, "appendRows", x.dtype, grid: Grid(group.rows.count),
        [
          group.addresses(caches), .tensor(x), .tensor(positions), table(.owners(segments)),
          .int32(group.rows.lowerBound), .int32(group.segments.lowerBound), .int32(x.shape.width),
        ])
    }
  }

  package func cachedAttention(
    _ q: Tensor, keys: [Tensor], values: [Tensor], positions: Tensor,
    _ geometry: AttentionGeometry, _ segments: Segments
  ) -> Tensor {
    let output = empty(q.shape, q.dtype)
    attendCached(
      Query(rows: q, positions: positions, geometry: geometry), keys, values, segments,
      into: output)
    return output
  }

  package func attend(_ attention: AppendingAttention) -> Tensor {
    check(attention)
    // A row that is alone in its sequence needs no other new row, so one kernel does it all.
    guard attention.segments.lengths.allSatisfy({ $0 == 1 }) else {
      return attendByParts(attention)
    }
    let output = empty(attention.rows.query.shape, attention.rows.query.dtype)
    attendCached(
      Query(attention), attention.keys, attention.values, attention.segments, into: output)
    return output
  }

  func check(_ attention: AppendingAttention) {
    let (rows, geometry) = (attention.rows, attention.geometry)
    _ = sharedType("attend", rows.query, rows.key, rows.value)
    require(
      rows.key.shape == rows.value.shape && rows.key.shape.rows == attention.segments.rows
        && rows.key.shape.width == geometry.keyValueHeads * geometry.headWidth
        && rows.table.shape.width <= geometry.headWidth,
      "attend: k \(rows.key.shape), v \(rows.value.shape), \(geometry)")
  }

  struct Query {
    /// [T, H·P]
    let rows: Tensor
    let positions: Tensor
    let geometry: AttentionGeometry
    /// What is to be rotated and stored first.
    var news: NewAttentionRows?
  }

  private func attendCached(
    _ query: Query, _ keys: [Tensor], _ values: [Tensor], _ segments: Segments,
    into output: Tensor
  ) {
    require(
      keys.count == segments.count && values.count == segments.count
        && segments.rows == query.rows.shape.rows
        && query.positions.shape.count == query.rows.shape.rows,
      "cachedAttention: q \(query.rows.shape), \(keys.count) caches, \(segments.rows) rows")
    for group in CacheGroup.all(segments) where !group.rows.isEmpty {
      // Tiles of queries share keys; for a few rows of each sequence they would mostly idle.
      if segments.lengths[group.segments].contains(where: { $0 > 8 }) {
        attendTiled(query, group, keys, values, segments, into: output)
      } else {
        attendSplit(query, group, keys, values, segments, into: output)
      }
    }
  }

  private func attendTiled(
    _ query: Query, _ group: CacheGroup, _ keys: [Tensor], _ values: [Tensor],
    _ segments: Segments, into output: Tensor
  ) {
    let most = attentionTiles(query.geometry, query.rows.dtype).mostSequences
    for part in CacheGroup.parts(of: group.segments, most: most) {
      launch(
        TiledAttention(
          query: query.rows, keys: Array(keys[part]), values: Array(values[part]),
          positions: query.positions, geometry: query.geometry, segments: segments, range: part),
        into: output)
    }
  }

  private func attendSplit(
    _ query: Query, _ group: CacheGroup, _ keys: [Tensor], _ values: [Tensor],
    _ segments: Segments, into output: Tensor
  ) {
    let geometry = query.geometry
    let type = query.rows.dtype
    require(
      geometry.headWidth * type.byteCount <= 32 * 16,
      "cachedAttention: heads of \(geometry.headWidth) columns do not fit a warp")
    let shares = shares(
      of: keys[group.segments].map(\.shape.rows).max() ?? 0, rows: group.rows.count,
      heads: geometry.heads)
    var source = KernelSource(.cachedAttention, type)
    (source.headWidth, source.attentionWarps) = (geometry.headWidth, Self.attentionWarps)
    source.steps = Self.attentionSteps
    let partial = partialResults(shares, rows: group.rows.count, geometry)
    launch(
      source, "splitAttention",
      grid: Grid(shares.splits, geometry.heads / shares.heads, group.rows.count),
      block: 32 * Self.attentionWarps,
      sharedBytes: Self.attentionSteps * Self.stepBytes(warps: Self.attentionWarps),
      [
        rowAttention(query, shares, partial, group, segments, into: output),
        group.addresses(keys), group.addresses(values),
      ])
  }

  /// Warps and steps of a block that only attends.
  private static let (attentionWarps, attentionSteps) = (16, 1)

  /// What `STEP` packs of each warp take.
  static func stepBytes(warps: Int) -> Int { warps * 64 * 4 * 16 }

  /// Where shares of keys leave what they found.
  func partialResults(
    _ shares: (splits: Int, heads: Int), rows: Int, _ geometry: AttentionGeometry
  ) -> Tensor {
    let groups = rows * geometry.heads / shares.heads
    return empty([groups, shares.splits, shares.heads, geometry.headWidth + 2], .float32)
  }

  /// `struct RowAttention` of cached_attention.cuh.
  func rowAttention(
    _ query: Query, _ shares: (splits: Int, heads: Int), _ partial: Tensor, _ group: CacheGroup,
    _ segments: Segments, into output: Tensor
  ) -> KernelArgument {
    let geometry = query.geometry
    guard case .address(let owners) = table(.owners(segments)) else {
      preconditionFailure("a table is no address")
    }
    return .words(
      [
        output.address, partial.address, arrivals, query.rows.address, query.positions.address,
        owners,
      ] + query.news.words + [
        KernelArgument.pair(group.rows.lowerBound, group.segments.lowerBound),
        KernelArgument.pair(geometry.heads, geometry.keyValueHeads),
        KernelArgument.pair(shares.heads, shares.splits),
        UInt64(geometry.scale.bitPattern),
      ])
  }

  /// How many blocks have the keys of a row, and how many neighbouring heads and warps one block has.
  private func shares(of keys: Int, rows: Int, heads: Int) -> (splits: Int, heads: Int) {
    // Neighbouring heads of the same keys lie side by side in memory, which counts when there is
    // much to read; but blocks of fewer heads have met sooner.
    let together = keys < 1024 ? [1] : keys < 8192 ? [2] : [4, 2]
    let group = together.first { heads % $0 == 0 } ?? 1
    let places = rows * heads / group
    guard places <= Self.mostArrivals else { return (1, group) }
    // A share of few keys is not worth another block.
    return (max(1, min(device.multiprocessors / places, keys / 96, Self.mostSplits)), group)
  }

  /// `MOST_SPLITS` of split_softmax.cuh.
  static let mostSplits = 160
}

extension CUDABackend.Query {
  init(_ attention: AppendingAttention) {
    self.init(
      rows: attention.rows.query, positions: attention.rows.positions,
      geometry: attention.geometry, news: attention.rows)
  }
}

extension NewAttentionRows? {
  /// `struct NewRows` of cached_attention.cuh.
  fileprivate var words: [UInt64] {
    [
      self?.key.address ?? 0, self?.value.address ?? 0, self?.table.address ?? 0,
      UInt64(self?.table.shape.width ?? 0),
    ]
  }
}

/// Sequences whose caches one launch takes.
struct CacheGroup {
  let segments: Range<Int>
  /// Their rows.
  let rows: Range<Int>

  /// `SEGMENTS_AT_ONCE` of the kernels.
  static let most = 32

  static func all(_ segments: Segments) -> [CacheGroup] {
    parts(of: 0..<segments.count, most: most).map {
      CacheGroup(
        segments: $0, rows: segments.starts[$0.lowerBound]..<segments.starts[$0.upperBound])
    }
  }

  /// Some sequences in parts of at most so many.
  static func parts(of sequences: Range<Int>, most: Int) -> [Range<Int>] {
    stride(from: sequences.lowerBound, to: sequences.upperBound, by: most).map {
      $0..<min(sequences.upperBound, $0 + most)
    }
  }

  func addresses(_ caches: [Tensor]) -> KernelArgument { Self.addresses(caches[segments]) }

  /// `struct Addresses` of the kernels.
  static func addresses(_ caches: some Collection<Tensor>) -> KernelArgument {
    .words(caches.map(\.address) + Array(repeating: 0, count: most - caches.count))
  }
}
