import MaTVLMTensor

/// Attention over tiles of queries and keys, as one launch does it.
struct TiledAttention {
  /// [T, H·P]
  let query: Tensor
  /// [T, G·P] beside the queries; with positions one cache of each sequence of `range`.
  let keys: [Tensor]
  let values: [Tensor]
  var positions: Tensor?
  let geometry: AttentionGeometry
  let segments: Segments
  let range: Range<Int>
}

extension CUDABackend {
  /// - Parameter logSumExp: float32 [T, H], if it is wanted.
  func launch(_ work: TiledAttention, into output: Tensor, logSumExp: Tensor? = nil) {
    let tiles = attentionTiles(work.geometry, work.query.dtype)
    launch(
      tiles.forward, "attention",
      grid: Grid(
        tileCount(work.segments, of: work.range, rows: tiles.queries), work.geometry.heads),
      block: tiles.threads, sharedBytes: tiles.sharedBytes,
      [.tensor(output), .tensor(logSumExp)] + rows(of: work, tiles) + [
        .int32(work.range.lowerBound), .tensor(work.positions),
        table(.tiles(work.segments, of: work.range, rows: tiles.queries)), work.geometry.argument,
      ])
  }

  /// Where queries, keys and values lie, as the kernel takes it.
  private func rows(of work: TiledAttention, _ tiles: AttentionTiles) -> [KernelArgument] {
    let (keys, values) = (work.keys, work.values)
    if tiles.byWarpGroups {
      let (heads, most) = (work.geometry.keyValueHeads, tiles.mostSequences)
      return [
        tileMaps([work.query], heads: work.geometry.heads),
        tileMaps(keys, heads: heads, room: most), tileMaps(values, heads: heads, room: most),
      ]
    }
    let isCached = work.positions != nil
    return [
      .tensor(work.query), .tensor(isCached ? nil : keys[0]), .tensor(isCached ? nil : values[0]),
      CacheGroup.addresses(isCached ? keys : []), CacheGroup.addresses(isCached ? values : []),
    ]
  }

  func attentionTiles(_ geometry: AttentionGeometry, _ type: DType) -> AttentionTiles {
    AttentionTiles(geometry, type, architecture: device.architecture)
  }
}

/// Which attention kernels there are for a type and a width of heads on a card, and the sizes of
/// their tiles, as their files define them.
struct AttentionTiles {
  private let headWidth: Int
  private let type: DType
  /// Whether warp groups multiply what the copy engine brings (warpgroup.cuh).
  let byWarpGroups: Bool

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
  /// For warp groups a tile of queries each, and `SLOTS` of keys and of values.
  var sharedBytes: Int { byWarpGroups ? 8 * Self.tileBytes : (queries + 4 * keys) * rowBytes }
  /// `ROWS` of attention_gradient.cu, `TILE` of warpgroup.cuh.
  static let gradientRows = 64
  var gradientSharedBytes: Int {
    if byWarpGroups { return 8 * Self.tileBytes + 3 * 2 * 4 * Self.gradientRows }
    let step = isHalf ? 32 : 16
    return 2 * (Self.gradientRows + step) * rowBytes + 2 * step * 4
  }
  /// Sequences whose caches one launch takes: `SEQUENCES` of attention_warpgroup.cu.
  var mostSequences: Int { byWarpGroups ? 4 : CacheGroup.most }
  func source(_ file: KernelFile) -> KernelSource {
    var source = KernelSource(file, type)
    source.headWidth = headWidth
    return source
  }
}
