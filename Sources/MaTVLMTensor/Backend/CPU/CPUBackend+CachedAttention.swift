import CMaTVLMKernels

extension CPUBackend {
  package func appendRows(
    _ x: Tensor, to caches: [Tensor], positions: Tensor, _ segments: Segments
  ) {
    require(
      x.shape.rows == segments.rows && positions.shape.count == segments.rows
        && caches.count == segments.count
        && caches.allSatisfy { $0.shape.width == x.shape.width && cacheTypes.contains($0.dtype) },
      "appendRows: \(x.shape), positions \(positions.shape), \(segments.lengths) rows to "
        + "\(caches.map(\.shape))")
    let width = x.shape.width
    for (segment, cache) in caches.enumerated() {
      for row in segments.starts[segment]..<segments.starts[segment + 1] {
        let position = Int(positions.int32s[row])
        require(
          position >= 0 && position < cache.shape.rows,
          "appendRows: position \(position) in a cache of \(cache.shape)")
        let (from, to) = (x.floats + row * width, position * width)
        if cache.dtype == .float32 {
          (cache.floats + to).update(from: from, count: width)
        } else {
          kernels.elementwise.float_to_bf16(from, cache.halves + to, Int64(width))
        }
      }
    }
  }

  package func cachedAttention(
    _ q: Tensor, keys: [Tensor], values: [Tensor], positions: Tensor,
    _ geometry: AttentionGeometry, _ segments: Segments
  ) -> Tensor {
    requireCaches(q, keys: keys, values: values, positions: positions, geometry, segments)
    let output = Tensor(uninitialized: q.shape, on: self)  // [T, H·P]
    let tiled = segments.blocks(of: Int(MATVLM_TILE)).filter {
      segments.lengths[$0.segment] > Self.fewQueryRows
    }
    if !tiled.isEmpty {
      attendTiles(tiled, q, keys, values, positions, geometry, segments, output)
    }
    let single = segments.blocks(of: 1).filter {
      segments.lengths[$0.segment] <= Self.fewQueryRows
    }
    if !single.isEmpty {
      attendRows(single, q, keys, values, positions, geometry, segments, output)
    }
    return output
  }

  /// Up to this many query rows, keys are streamed for each; from there on in tiles for all.
  private static var fewQueryRows: Int { 4 }

  private func attendTiles(
    _ blocks: [RowBlock], _ q: Tensor, _ keys: [Tensor], _ values: [Tensor], _ positions: Tensor,
    _ geometry: AttentionGeometry, _ segments: Segments, _ output: Tensor
  ) {
    let visible = Tensor(uninitialized: positions.shape, .int32, on: self)  // [T]
    for row in 0..<segments.rows { visible.int32s[row] = positions.int32s[row] + 1 }
    let tiled = Set(blocks.map(\.segment))
    let floats = [keys, values].map { caches in
      caches.enumerated().map { segment, cache in
        tiled.contains(segment)
          ? unpacked(cache, rows: Int(visible.int32s[segments.starts[segment + 1] - 1])) : cache
      }
    }
    parallel(blocks.count * geometry.heads) { item in
      let (block, head) = (blocks[item / geometry.heads], item % geometry.heads)
      let row = segments.starts[block.segment] + block.first
      var tile = self.tile(q, output, geometry, rows: row..<row + block.count, head)
      tile.visible = UnsafePointer(visible.int32s + row)
      tile.keys = UnsafePointer(floats[0][block.segment].floats + geometry.keyColumn(head))
      tile.values = UnsafePointer(floats[1][block.segment].floats + geometry.keyColumn(head))
      self.attend(&tile)
    }
  }

  /// The first rows of a cache as float32: many query rows read them often.
  private func unpacked(_ cache: Tensor, rows: Int) -> Tensor {
    cache.dtype == .float32 ? cache : convert(cache.firstRows(rows), to: .float32)
  }

  /// What one thread does for one row: a range of keys for some neighbouring key heads.
  private struct RowPart: Sendable {
    let segment: Int
    let keys: Range<Int>
    let keyHeads: Range<Int>
    let row: Int
    /// Where the results of this range lie, in ranges of all rows.
    let range: Int
  }

  private func attendRows(
    _ blocks: [RowBlock], _ q: Tensor, _ keys: [Tensor], _ values: [Tensor], _ positions: Tensor,
    _ geometry: AttentionGeometry, _ segments: Segments, _ output: Tensor
  ) {
    var (parts, rows): ([RowPart], [(row: Int, ranges: Range<Int>)]) = ([], [])
    for block in blocks {
      let row = segments.starts[block.segment] + block.first
      let count = Int(positions.int32s[row]) + 1
      let first = rows.last?.ranges.upperBound ?? 0
      let starts = stride(from: 0, to: count, by: Int(MATVLM_KEY_RANGE))
      // Whole rows are read in the order of memory, where there are enough for all threads.
      let hasEnough = count > 4 * threads * Int(MATVLM_KEY_RANGE)
      let neighbours = hasEnough ? geometry.keyValueHeads : Self.fewNeighbours
      for (index, start) in starts.enumerated() {
        for head in stride(from: 0, to: geometry.keyValueHeads, by: neighbours) {
          parts.append(
            RowPart(
              segment: block.segment, keys: start..<min(count, start + Int(MATVLM_KEY_RANGE)),
              keyHeads: head..<min(geometry.keyValueHeads, head + neighbours),
              row: row, range: first + index))
        }
      }
      rows.append((row, first..<first + (count - 1) / Int(MATVLM_KEY_RANGE) + 1))
    }
    let ranges = rows.last!.ranges.upperBound
    let (heads, width) = (geometry.heads, geometry.headWidth)
    let largest = Tensor(uninitialized: [ranges, heads], on: self)
    let sum = Tensor(uninitialized: [ranges, heads], on: self)
    let partial = Tensor(uninitialized: [ranges, heads, width], on: self)
    let finalParts = parts
    parallel(parts.count) { item in
      let part = finalParts[item]
      self.attend(
        part, q, keys[part.segment], values[part.segment], geometry, largest, sum, partial)
    }
    for (row, ranges) in rows {
      let first = ranges.lowerBound * heads
      kernels.sequence.merge_ranges(
        largest.floats + first, sum.floats + first, partial.floats + first * width, ranges.count,
        heads, width, output.floats + row * heads * width)
    }
  }

  /// Key heads whose columns one thread reads side by side when there are few keys.
  private static var fewNeighbours: Int { 8 }

  private func attend(
    _ part: RowPart, _ q: Tensor, _ keys: Tensor, _ values: Tensor,
    _ geometry: AttentionGeometry, _ largest: Tensor, _ sum: Tensor, _ partial: Tensor
  ) {
    let (heads, width) = (geometry.heads, geometry.headWidth)
    let group = heads / geometry.keyValueHeads
    let head = part.keyHeads.lowerBound * group
    let key =
      part.keys.lowerBound * geometry.keyValueHeads * width + part.keyHeads.lowerBound * width
    let result = part.range * heads + head
    var arguments = matvlm_attention_row(
      keys_count: part.keys.count, key_heads: part.keyHeads.count, group: group, width: width,
      key_stride: geometry.keyValueHeads * width, scale: geometry.scale,
      queries: q.floats + (part.row * heads + head) * width,
      keys: keys.storage.memory.pointer + key * keys.dtype.byteCount,
      values: values.storage.memory.pointer + key * values.dtype.byteCount,
      is_bf16: keys.dtype == .bfloat16 ? 1 : 0, largest: largest.floats + result,
      sum: sum.floats + result, output: partial.floats + result * width)
    withScratch(part.keyHeads.count * group * Int(MATVLM_KEY_RANGE)) {
      kernels.sequence.attend_row(&arguments, $0)
    }
  }

  private func requireCaches(
    _ q: Tensor, keys: [Tensor], values: [Tensor], positions: Tensor,
    _ geometry: AttentionGeometry, _ segments: Segments
  ) {
    geometry.requireShapes(q, keys: [], segments, "cachedAttention")
    let width = geometry.keyValueHeads * geometry.headWidth
    require(
      positions.shape.count == segments.rows && keys.count == segments.count
        && zip(keys, values).allSatisfy {
          $0.shape == $1.shape && $0.shape.width == width && $0.dtype == $1.dtype
            && cacheTypes.contains($0.dtype)
        }
        && values.count == segments.count,
      "cachedAttention: positions \(positions.shape) of \(segments.lengths) rows, keys "
        + "\(keys.map(\.shape)), values \(values.map(\.shape)), width \(width)")
    for (segment, cache) in keys.enumerated() {
      for row in segments.starts[segment]..<segments.starts[segment + 1] {
        let position = Int(positions.int32s[row])
        require(
          position >= 0 && position < cache.shape.rows,
          "cachedAttention: position \(position) in a cache of \(cache.shape)")
      }
    }
  }
}
