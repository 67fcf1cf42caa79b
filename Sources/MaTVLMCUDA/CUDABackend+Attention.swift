import MaTVLMTensor

extension CUDABackend {
  package func attention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, _ geometry: AttentionGeometry, _ segments: Segments
  ) -> (output: Tensor, logSumExp: Tensor) {
    let tiles = attentionTiles(geometry, sharedType("attention", q, k, v))
    check(q, k, v, geometry, segments)
    let output = empty(q.shape, q.dtype)
    let logSumExp = empty([q.shape.rows, geometry.heads], .float32)
    let all = 0..<segments.count
    launch(
      tiles.forward, "attention",
      grid: Grid(tileCount(segments, of: all, rows: tiles.queries), geometry.heads),
      block: tiles.threads, sharedBytes: tiles.sharedBytes,
      [
        .tensor(output), .tensor(logSumExp), .tensor(q), .tensor(k), .tensor(v),
        CacheGroup.noAddresses, CacheGroup.noAddresses, .int32(0), .address(0),
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
    let tiles = attentionTiles(geometry, type)
    let (dq, dk, dv) = (empty(q.shape, type), empty(k.shape, type), empty(v.shape, type))
    let delta = empty([q.shape.rows, geometry.heads], .float32)
    launch(
      tiles.source(.attentionGradient), "attentionDelta", grid: Grid(q.shape.rows),
      [.tensor(delta), .tensor(dy), .tensor(output), .int32(geometry.heads)])
    let owned = AttentionTiles.gradientRows
    let all = 0..<segments.count
    let count = tileCount(segments, of: all, rows: owned)
    let shared: [KernelArgument] = [
      .tensor(dy), .tensor(q), .tensor(k), .tensor(v), .tensor(logSumExp), .tensor(delta),
      table(.tiles(segments, of: all, rows: owned)), geometry.argument,
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

extension CUDABackend {
  func attentionTiles(_ geometry: AttentionGeometry, _ type: DType) -> AttentionTiles {
    AttentionTiles(geometry, type, architecture: device.architecture)
  }
}

/// Which attention kernels there are for a type and a width of heads on a card, and the sizes of
/// their tiles, as their files define them.
struct AttentionTiles {
  private let headWidth: Int
  private let type: DType
  /// Whether warp groups multiply (warpgroup.cuh).
  private let byWarpGroups: Bool

  init(_ geometry: AttentionGeometry, _ type: DType, architecture: Int) {
    (headWidth, self.type) = (geometry.headWidth, type)
    byWarpGroups =
      architecture == 90 && type == .bfloat16 && [72, 80].contains(geometry.headWidth)
  }

  private var isHalf: Bool { type.byteCount == 2 }
  private var padded: Int { (headWidth + 15) / 16 * 16 }
  private var rowBytes: Int { (padded + 8) * type.byteCount }
  /// `TILE_BYTES` of warpgroup.cuh.
  private static let tileBytes = 64 * 80 * 2

  var forward: KernelSource { source(byWarpGroups ? .attentionWarpgroup : .attention) }
  var gradient: KernelSource {
    source(byWarpGroups ? .attentionGradientWarpgroup : .attentionGradient)
  }
  /// Threads of a block, forward; a gradient's have 128.
  var threads: Int { byWarpGroups ? 256 : 128 }
  /// `QUERIES` of attention.cu.
  var queries: Int { isHalf && padded <= 128 ? 128 : 64 }
  private var keys: Int { isHalf ? 64 : 32 }
  var sharedBytes: Int { byWarpGroups ? 8 * Self.tileBytes : (queries + 4 * keys) * rowBytes }
  /// `ROWS` of attention_gradient.cu, `TILE` of warpgroup.cuh.
  static let gradientRows = 64
  var gradientSharedBytes: Int {
    if byWarpGroups { return 8 * Self.tileBytes + 3 * 2 * 4 * Self.gradientRows }
    let step = isHalf ? 32 : 16
    return 2 * (Self.gradientRows + step) * rowBytes + 2 * step * 4
  }
  func source(_ file: KernelFile) -> KernelSource {
    var source = KernelSource(file, type)
    source.headWidth = headWidth
    return source
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
