import CMaTVLMKernels

extension CPUBackend {
  package func rotate(
    _ x: Tensor, _ table: Tensor, positions: Tensor, heads: Int, inverse: Bool
  ) -> Tensor {
    let (rotary, width) = (table.shape.width, x.shape.width / heads)
    require(
      x.shape.width == heads * width && rotary <= width && rotary % 2 == 0
        && positions.shape.count == x.shape.rows,
      "rotate: \(x.shape) in \(heads) heads, table \(table.shape), positions \(positions.shape)")
    requireRows(positions, below: table.shape.rows, "rotate")
    let y = Tensor(uninitialized: x.shape, on: self)  // [T, H·P]
    parallel(x.shape.rows, grain: 16) { rows in
      let offset = rows.lowerBound * x.shape.width
      self.kernels.sequence.rotate(
        x.floats + offset, table.floats, positions.int32s + rows.lowerBound, rows.count, heads,
        width, rotary, inverse ? -1 : 1, y.floats + offset)
    }
    return y
  }

  package func attention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, _ geometry: AttentionGeometry, _ segments: Segments
  ) -> (output: Tensor, logSumExp: Tensor) {
    geometry.requireShapes(q, keys: [k, v], segments, "attention")
    let visible = visibleKeys(geometry, segments)
    let output = Tensor(uninitialized: q.shape, on: self)  // [T, H·P]
    let logSumExp = Tensor(uninitialized: [segments.rows, geometry.heads], on: self)
    let blocks = segments.blocks(of: Int(MATVLM_TILE))
    parallel(blocks.count * geometry.heads) { item in
      let (block, head) = (blocks[item / geometry.heads], item % geometry.heads)
      let start = segments.starts[block.segment]
      let row = start + block.first
      let key = start * k.shape.width + geometry.keyColumn(head)
      var tile = self.tile(q, output, geometry, rows: row..<row + block.count, head)
      tile.visible = UnsafePointer(visible.int32s + row)
      tile.keys = UnsafePointer(k.floats + key)
      tile.values = UnsafePointer(v.floats + key)
      tile.log_sum_exp = logSumExp.floats + row * geometry.heads + head
      tile.log_stride = geometry.heads
      self.attend(&tile)
    }
    return (output, logSumExp)
  }

  package func attentionGradient(
    _ dy: Tensor, _ q: Tensor, _ k: Tensor, _ v: Tensor, output: Tensor, logSumExp: Tensor,
    _ geometry: AttentionGeometry, _ segments: Segments
  ) -> (q: Tensor, k: Tensor, v: Tensor) {
    geometry.requireShapes(q, keys: [k, v], segments, "attentionGradient")
    require(
      dy.shape == q.shape && output.shape == q.shape
        && logSumExp.shape == [segments.rows, geometry.heads],
      "attentionGradient: dy \(dy.shape), q \(q.shape), output \(output.shape), "
        + "logSumExp \(logSumExp.shape)")
    let visible = visibleKeys(geometry, segments)
    let dq = Tensor(uninitialized: q.shape, on: self)  // [T, H·P]
    let dk = Tensor(uninitialized: k.shape, on: self)  // [T, G·P]
    let dv = Tensor(uninitialized: v.shape, on: self)  // [T, G·P]
    let group = geometry.heads / geometry.keyValueHeads
    parallel(segments.count * geometry.keyValueHeads) { item in
      let segment = item / geometry.keyValueHeads
      let keyHead = item % geometry.keyValueHeads
      let (start, rows) = (segments.starts[segment], segments.lengths[segment])
      guard rows > 0 else { return }
      let query = start * q.shape.width + keyHead * group * geometry.headWidth
      let key = start * k.shape.width + keyHead * geometry.headWidth
      var arguments = matvlm_attention_gradient(
        rows: rows, width: geometry.headWidth, group: group, query_stride: q.shape.width,
        key_stride: k.shape.width, log_stride: geometry.heads, scale: geometry.scale,
        visible: visible.int32s + start, queries: q.floats + query, keys: k.floats + key,
        values: v.floats + key, output: output.floats + query,
        output_gradient: dy.floats + query,
        log_sum_exp: logSumExp.floats + start * geometry.heads + keyHead * group,
        queries_gradient: dq.floats + query, keys_gradient: dk.floats + key,
        values_gradient: dv.floats + key)
      self.withScratch(matvlm_attention_gradient_scratch(rows, geometry.headWidth)) {
        self.kernels.sequence.attention_gradient(&arguments, $0)
      }
    }
    return (dq, dk, dv)
  }

  /// The queries of `rows` (of all rows) and one head, keys still to be filled in.
  func tile(
    _ q: Tensor, _ output: Tensor, _ geometry: AttentionGeometry, rows: Range<Int>, _ head: Int
  ) -> matvlm_attention {
    let offset = rows.lowerBound * q.shape.width + head * geometry.headWidth
    var tile = matvlm_attention()
    tile.rows = rows.count
    tile.width = geometry.headWidth
    tile.query_stride = q.shape.width
    tile.key_stride = geometry.keyValueHeads * geometry.headWidth
    tile.scale = geometry.scale
    tile.queries = UnsafePointer(q.floats + offset)
    tile.output = output.floats + offset
    return tile
  }

  func attend(_ tile: inout matvlm_attention) {
    withScratch(matvlm_attention_scratch(tile.width)) { kernels.sequence.attention(&tile, $0) }
  }

  /// For each row how many keys of its segment it sees, int32 [T].
  private func visibleKeys(_ geometry: AttentionGeometry, _ segments: Segments) -> Tensor {
    let visible = Tensor(uninitialized: [segments.rows], .int32, on: self)
    for (start, length) in zip(segments.starts, segments.lengths) {
      for row in 0..<length {
        visible.int32s[start + row] = Int32(geometry.isCausal ? row + 1 : length)
      }
    }
    return visible
  }

  /// Row numbers index memory here, so that a wrong one must not pass.
  func requireRows(_ rows: Tensor, below count: Int, _ name: String) {
    for index in 0..<rows.shape.count {
      let row = Int(rows.int32s[index])
      require(row >= 0 && row < count, "\(name): row \(row) of \(count)")
    }
  }
}

extension AttentionGeometry {
  /// The first column of the key head that a query head uses.
  func keyColumn(_ head: Int) -> Int { head / (heads / keyValueHeads) * headWidth }

  func requireShapes(_ q: Tensor, keys: [Tensor], _ segments: Segments, _ name: String) {
    let (query, key): (Shape, Shape) = (
      [segments.rows, heads * headWidth], [segments.rows, keyValueHeads * headWidth]
    )
    require(
      q.shape == query && keys.allSatisfy { $0.shape == key },
      "\(name): queries \(q.shape), not \(query), or keys and values \(keys.map(\.shape)), "
        + "not \(key)")
  }
}
