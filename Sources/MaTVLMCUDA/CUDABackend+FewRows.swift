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
    (source.inputRows, source.inputWidth) = (x.shape.rows, x.shape.width)
    // A warp of a block's four has a row that its lanes can ask for at once; all of them share a
    // longer one.
    let isShort = x.shape.width * x.dtype.byteCount <= 16 * Slab.mostPacks
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
      source, "linearRows", grid: Grid(blocks), block: 128,
      overlaps: settle(weights + layers.compactMap(\.layer.bias)),
      [.words(words + Array(repeating: 0, count: missing)), .tensor(x)])
  }

  /// stream [1, O] + the products of `slabs`, which `terms` were cut into.
  func addOneRow(_ stream: Tensor, _ terms: [LinearTerm], _ slabs: [Slab], into y: Tensor) {
    var source = KernelSource(.gemv, y.dtype)
    (source.inputRows, source.inputWidth) = (1, slabs[0].packs * 16 / y.dtype.byteCount)
    let weights = terms.map { self.weights($0.projection.weight, in: y.dtype) }
    let words = slabs.flatMap { slab -> [UInt64] in
      let term = terms[slab.term]
      let start = UInt64(slab.firstPack * 16)
      let bias = slab.firstPack == 0 ? term.projection.bias?.address ?? 0 : 0
      let stride = term.x.shape.width * y.dtype.byteCount / 16
      return [term.x.address + start, weights[slab.term].address + start, bias, UInt64(stride)]
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
  func settle(_ weights: [Tensor]) -> Bool {
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
  /// Its length, the same for all slabs.
  let packs: Int

  /// Packs that a warp can ask for at once: 32 · `DEPTH` of gemv.cu.
  static let mostPacks = 320
  /// `SLABS_AT_ONCE` of gemv.cu.
  static let atOnce = 8

  /// nil when rows are not whole packs, or do not divide into few slabs of one length.
  static func cut(_ terms: [LinearTerm]) -> [Slab]? {
    let lanes = 16 / terms[0].x.dtype.byteCount
    let widths = terms.map(\.x.shape.width)
    guard widths.allSatisfy({ $0 > 0 && $0 % lanes == 0 }) else { return nil }
    let rows = widths.map { $0 / lanes }
    let packs = (1...mostPacks).last { packs in rows.allSatisfy { $0 % packs == 0 } } ?? 1
    guard rows.reduce(0, +) <= atOnce * packs else { return nil }
    return rows.enumerated().flatMap { term, row in
      stride(from: 0, to: row, by: packs).map { Slab(term: term, firstPack: $0, packs: packs) }
    }
  }
}
