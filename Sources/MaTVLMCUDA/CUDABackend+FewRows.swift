import MaTVLMTensor

/// Products of few rows by our kernels (gemv.cu), which read the weights once at the speed of memory.
extension CUDABackend {
  /// Whether our kernels beat a product on the tensor cores.
  func isFew(_ rows: Int, inputs: Int, _ type: DType) -> Bool {
    rows <= 4 && inputs % (16 / type.byteCount) == 0
  }

  /// `LAYERS_AT_ONCE` of gemv.cu.
  private static let layersAtOnce = 4

  func multiplyFewRows(_ x: Tensor, _ layers: [(layer: Projection, y: Tensor)]) {
    var rest = layers[...]
    while !rest.isEmpty {
      multiplyAtOnce(x, Array(rest.prefix(Self.layersAtOnce)))
      rest = rest.dropFirst(Self.layersAtOnce)
    }
  }

  private func multiplyAtOnce(_ x: Tensor, _ layers: [(layer: Projection, y: Tensor)]) {
    var source = KernelSource(.gemv, x.dtype)
    source.inputRows = x.shape.rows
    // A warp of four has a row of up to ten packs a lane; all of them have a longer one.
    let isShort = x.shape.width * x.dtype.byteCount <= 32 * Slab.packsOfLane * 16
    let weights = layers.map { self.weights($0.layer.weight, in: x.dtype) }
    let words = zip(layers, weights).flatMap { entry, weight -> [UInt64] in
      let activation = entry.layer.activation?.kernelCode ?? -1
      return [
        weight.address, entry.layer.bias?.address ?? 0, entry.y.address,
        KernelArgument.pair(entry.y.shape.width, activation),
      ]
    }
    let missing = 4 * (Self.layersAtOnce - layers.count)
    let blocks = layers.reduce(0) { $0 + (isShort ? ($1.y.shape.width + 3) / 4 : $1.y.shape.width) }
    launch(
      source, isShort ? "linearShortRows" : "linearLongRows", grid: Grid(blocks), block: 128,
      overlaps: settle(weights),
      [.words(words + Array(repeating: 0, count: missing)), .tensor(x), .int32(x.shape.width)])
  }

  /// stream [1, O] + the products of `slabs`, which `terms` were cut into.
  func addOneRow(_ stream: Tensor, _ terms: [LinearTerm], _ slabs: [Slab], into y: Tensor) {
    var source = KernelSource(.gemv, y.dtype)
    source.inputRows = 1
    let weights = terms.map { self.weights($0.projection.weight, in: y.dtype) }
    let words = slabs.flatMap { slab -> [UInt64] in
      let term = terms[slab.term]
      let start = UInt64(slab.firstPack * 16)
      let bias = slab.firstPack == 0 ? term.projection.bias?.address ?? 0 : 0
      return [
        term.x.address + start, weights[slab.term].address + start, bias,
        KernelArgument.pair(term.x.shape.width, slab.packs),
      ]
    }
    let missing = 4 * (Slab.atOnce - slabs.count)
    // Blocks that a multiprocessor holds, by the registers that a thread of `addLinear` takes.
    let resident = max(1, 16 / slabs.count) * device.multiprocessors
    launch(
      source, "addLinear", grid: Grid(min(y.shape.width, resident)), block: 32 * slabs.count,
      overlaps: settle(weights),
      [
        .tensor(y), .tensor(stream), .words(words + Array(repeating: 0, count: missing)),
        .int32(y.shape.width),
      ])
  }

  /// Whether all of `weights` have been read before by a kernel that waited for all work before it,
  /// and not been written since: then a kernel may read them while others still run.
  private func settle(_ weights: [Tensor]) -> Bool {
    settled.withLock { settled in
      weights.reduce(true) { known, weight in
        !settled.insert(weight.address).inserted && known
      }
    }
  }
}

/// Some columns of one of several products that add up: the work of one warp of `addLinear`.
struct Slab {
  /// Which product.
  let term: Int
  /// In packs of sixteen bytes from the start of a row.
  let firstPack: Int
  let packs: Int

  /// `DEPTH` and `SLABS_AT_ONCE` of gemv.cu.
  static let packsOfLane = 10
  static let atOnce = 8

  /// nil when rows are not whole packs, or too long for the warps of a block.
  static func cut(_ terms: [LinearTerm]) -> [Slab]? {
    let most = 32 * packsOfLane
    var slabs: [Slab] = []
    for (index, term) in terms.enumerated() {
      let lanes = 16 / term.x.dtype.byteCount
      guard term.x.shape.width % lanes == 0 else { return nil }
      let packs = term.x.shape.width / lanes
      for first in stride(from: 0, to: packs, by: most) {
        slabs.append(Slab(term: index, firstPack: first, packs: min(most, packs - first)))
      }
    }
    return slabs.count <= atOnce ? slabs : nil
  }
}
