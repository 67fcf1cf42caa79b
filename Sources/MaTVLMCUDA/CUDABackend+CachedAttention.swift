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
      Query(rows: q, positions: positions, geometry: geometry, news: nil), keys, values, segments,
      into: output)
    return output
  }

  package func cachedAttention(
    appending rows: NewAttentionRows, keys: [Tensor], values: [Tensor],
    _ geometry: AttentionGeometry, _ segments: Segments
  ) -> Tensor {
    let type = sharedType("cachedAttention", rows.query, rows.key, rows.value)
    require(
      rows.key.shape == rows.value.shape && rows.key.shape.rows == segments.rows
        && rows.key.shape.width == geometry.keyValueHeads * geometry.headWidth
        && rows.table.shape.width <= geometry.headWidth,
      "cachedAttention: k \(rows.key.shape), v \(rows.value.shape), \(geometry)")
    // A row that is alone in its sequence needs no other new row, so one kernel does it all.
    guard segments.lengths.allSatisfy({ $0 == 1 }) else {
      return appendThenAttend(rows, keys: keys, values: values, geometry, segments)
    }
    let output = empty(rows.query.shape, type)
    attendCached(
      Query(rows: rows.query, positions: rows.positions, geometry: geometry, news: rows), keys,
      values, segments, into: output)
    return output
  }

  private struct Query {
    /// [T, H·P]
    let rows: Tensor
    let positions: Tensor
    let geometry: AttentionGeometry
    /// What is to be rotated and stored first.
    let news: NewAttentionRows?
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
    let tiles = attentionTiles(query.geometry, query.rows.dtype)
    launch(
      tiles.forward, "attention",
      grid: Grid(
        tileCount(segments, of: group.segments, rows: tiles.queries), query.geometry.heads),
      block: tiles.threads, sharedBytes: tiles.sharedBytes,
      [
        .tensor(output), .address(0), .tensor(query.rows), .address(0), .address(0),
        group.addresses(keys), group.addresses(values), .int32(group.segments.lowerBound),
        .tensor(query.positions), table(.tiles(segments, of: group.segments, rows: tiles.queries)),
        query.geometry.argument,
      ])
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
    let places = group.rows.count * geometry.heads / shares.heads
    let partial = empty([places, shares.splits, shares.heads, geometry.headWidth + 2], .float32)
    var source = KernelSource(.cachedAttention, type)
    source.headWidth = geometry.headWidth
    launch(
      source, "splitAttention",
      grid: Grid(shares.splits, geometry.heads / shares.heads, group.rows.count), block: 512,
      [
        .tensor(output), .tensor(partial), .address(arrivals), .tensor(query.rows),
        group.addresses(keys), group.addresses(values), .tensor(query.positions),
        table(.owners(segments)), query.news.argument, .int32(group.rows.lowerBound),
        .int32(group.segments.lowerBound), .int32(geometry.heads),
        .int32(geometry.keyValueHeads), .int32(shares.heads), .float(geometry.scale),
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
    // A multiprocessor holds one block, by its registers; a share of few keys is not worth another.
    return (max(1, min(device.multiprocessors / places, keys / 96, Self.mostSplits)), group)
  }

  /// `MOST_SPLITS` of cached_attention.cu.
  private static let mostSplits = 512
}

extension NewAttentionRows? {
  /// `struct NewRows` of cached_attention.cu.
  fileprivate var argument: KernelArgument {
    .words([
      self?.key.address ?? 0, self?.value.address ?? 0, self?.table.address ?? 0,
      UInt64(self?.table.shape.width ?? 0),
    ])
  }
}

/// Sequences whose caches one launch takes.
struct CacheGroup {
  let segments: Range<Int>
  /// Their rows.
  let rows: Range<Int>

  /// `SEGMENTS_AT_ONCE` of the kernels.
  private static let most = 32
  static let noAddresses = KernelArgument.words(Array(repeating: 0, count: most))

  static func all(_ segments: Segments) -> [CacheGroup] {
    stride(from: 0, to: segments.count, by: most).map { first in
      let group = first..<min(segments.count, first + most)
      return CacheGroup(
        segments: group, rows: segments.starts[group.lowerBound]..<segments.starts[group.upperBound]
      )
    }
  }

  func addresses(_ caches: [Tensor]) -> KernelArgument {
    let padding = Array(repeating: UInt64(0), count: Self.most - segments.count)
    return .words(caches[segments].map(\.address) + padding)
  }
}
