import MaTVLMTensor

extension CUDABackend {
  package func attention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, _ geometry: AttentionGeometry, _ segments: Segments
  ) -> (output: Tensor, logSumExp: Tensor) {
    _ = sharedType("attention", q, k, v)
    check(q, k, v, geometry, segments)
    let output = empty(q.shape, q.dtype)
    let logSumExp = empty([q.shape.rows, geometry.heads], .float32)
    launch(
      TiledAttention(
        query: q, keys: [k], values: [v], geometry: geometry, segments: segments,
        range: 0..<segments.count), into: output, logSumExp: logSumExp)
    return (output, logSumExp)
  }

  package func attentionGradient(
    _ dy: Tensor, _ q: Tensor, _ k: Tensor, _ v: Tensor, output: Tensor, logSumExp: Tensor,
    _ geometry: AttentionGeometry, _ segments: Segments
  ) -> (q: Tensor, k: Tensor, v: Tensor) {
    check(q, k, v, geometry, segments)
    let type = sharedType("attentionGradient", dy, q, k, v, output)
    let tiles = attentionTiles(geometry, type)
    let (dq, dk, dv) = (empty(q.shape, type), empty(k.shape, type), empty(v.shape, type))
    let delta = empty([q.shape.rows, geometry.heads], .float32)
    launch(
      tiles.source(.attentionGradient), "attentionDelta", grid: Grid(q.shape.rows),
      [.tensor(delta), .tensor(dy), .tensor(output), .int32(geometry.heads)])
    let owned = AttentionTiles.gradientRows
    let all = 0..<segments.count
    let count = tileCount(segments, of: all, rows: owned)
    let (heads, keyValueHeads) = (geometry.heads, geometry.keyValueHeads)
    let rows =
      tiles.byWarpGroups
      ? [
        tileMaps([dy], heads: heads), tileMaps([q], heads: heads),
        tileMaps([k], heads: keyValueHeads), tileMaps([v], heads: keyValueHeads),
      ] : [.tensor(dy), .tensor(q), .tensor(k), .tensor(v)]
    let shared: [KernelArgument] =
      rows + [
        .tensor(logSumExp), .tensor(delta), table(.tiles(segments, of: all, rows: owned)),
        geometry.argument,
      ]
    launch(
      tiles.gradient, "attentionKeyValueGradient", grid: Grid(count, geometry.keyValueHeads),
      block: 128,
      sharedBytes: tiles.gradientSharedBytes, [.tensor(dk), .tensor(dv)] + shared)
    launch(
      tiles.gradient, "attentionQueryGradient", grid: Grid(count, geometry.heads), block: 128,
      sharedBytes: tiles.gradientSharedBytes, [.tensor(dq)] + shared)
    return (dq, dk, dv)
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
}

extension AttentionGeometry {
  /// `struct Geometry` of the kernels: two words.
  var argument: KernelArgument {
    .words([
      KernelArgument.pair(heads, keyValueHeads),
      UInt64(scale.bitPattern) | UInt64(isCausal ? 1 : 0) << 32,
    ])
  }
}
