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
    let weights = layers.map { self.weights($0.layer.weight, in: x.dtype) }
    let words = zip(layers, weights).flatMap { entry, weight -> [UInt64] in
      let activation = entry.layer.activation?.kernelCode ?? -1
      return [
        weight.address, entry.layer.bias?.address ?? 0, entry.y.address,
        KernelArgument.pair(entry.y.shape.width, activation),
      ]
    }
    let missing = 4 * (Self.layersAtOnce - layers.count)
    let outputs = layers.reduce(0) { $0 + $1.y.shape.width }
    let packs = x.shape.width * x.dtype.byteCount / 16
    let pieces = (packs + Slab.mostPacks - 1) / Slab.mostPacks
    let shape = rowProducts(outputs: outputs, floatsEach: pieces * x.shape.rows + 1)
    source.stages = shape.stages
    launch(
      source, "linearRows", grid: Grid(shape.blocks), block: RowProducts.threads,
      sharedBytes: shape.sharedBytes, overlaps: settle(weights + layers.compactMap(\.layer.bias)),
      [
        .words(words + Array(repeating: 0, count: missing)), .tensor(x), .int32(outputs),
      ])
    lastInTurn.withLock { $0 = layers[0].y.address }
  }

  /// stream [1, O] + the products of `slabs`, which `terms` were cut into.
  func addOneRow(_ stream: Tensor, _ terms: [LinearTerm], _ slabs: [Slab], into y: Tensor) {
    var source = KernelSource(.gemv, y.dtype)
    (source.inputRows, source.inputWidth) = (1, slabs[0].columns(y.dtype))
    let weights = terms.map { self.weights($0.projection.weight, in: y.dtype) }
    let shape = rowProducts(outputs: y.shape.width, floatsEach: slabs.count)
    source.stages = shape.stages
    launch(
      source, "addLinear", grid: Grid(shape.blocks), block: RowProducts.threads,
      sharedBytes: shape.sharedBytes,
      overlaps: settle(weights + terms.compactMap(\.projection.bias)),
      [
        .tensor(y), .tensor(stream), Slab.argument(slabs, terms, weights, known: slabs.count),
        .int32(y.shape.width),
      ])
  }

  /// One block a multiprocessor, or fewer for fewer outputs.
  func rowProducts(outputs: Int, floatsEach: Int) -> RowProducts {
    let blocks = max(1, min(outputs, device.multiprocessors))
    let floats = (outputs + blocks - 1) / blocks * floatsEach
    let room = device.mostSharedBytes - 4 * floats
    return RowProducts(
      blocks: blocks, stages: max(1, min(3, room / RowProducts.stageBytes)), floats: floats)
  }

  /// Whether a block has at most one output for each of its threads: what `addProducts` asks for.
  func fitsThreads(outputs: Int) -> Bool { outputs <= RowProducts.threads * device.multiprocessors }

  /// Whether the next kernel follows the product that made `rows`. It may then read, before it begins,
  /// what any kernel but that one has written (see `beginKernelInTurn` of common.cuh).
  func follows(_ rows: Tensor) -> Bool { lastInTurn.withLock { $0 } == rows.address }

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

/// How a product of row_products.cuh is divided.
struct RowProducts {
  let blocks: Int
  /// `STAGES` of row_products.cuh.
  let stages: Int
  /// What a block writes down of its outputs.
  let floats: Int

  /// `THREADS` of row_products.cuh.
  static let threads = 256
  /// `STAGE` packs.
  static let stageBytes = threads * 10 * 16

  var sharedBytes: Int { stages * Self.stageBytes + 4 * floats }
}

/// Some columns of one of several products that add up: a piece of every row of its weights.
struct Slab {
  /// Which product.
  let term: Int
  /// In packs of sixteen bytes from the start of a row.
  let firstPack: Int
  /// Its length, the same for all slabs.
  let packs: Int

  /// Packs that a warp can ask for at once: `PIECE` of row_products.cuh.
  static let mostPacks = 320
  /// `SLABS_AT_ONCE` of row_products.cuh.
  static let atOnce = 8

  func columns(_ type: DType) -> Int { packs * 16 / type.byteCount }

  /// `struct Slabs` of row_products.cuh.
  /// - Parameter known: of so many slabs the rows are known when the kernel begins.
  static func argument(
    _ slabs: [Slab], _ terms: [LinearTerm], _ weights: [Tensor], known: Int
  ) -> KernelArgument {
    let words = slabs.flatMap { slab -> [UInt64] in
      let term = terms[slab.term]
      let start = UInt64(slab.firstPack * 16)
      let bias = slab.firstPack == 0 ? term.projection.bias?.address ?? 0 : 0
      let stride = term.x.shape.width * term.x.dtype.byteCount / 16
      return [term.x.address + start, weights[slab.term].address + start, bias, UInt64(stride)]
    }
    let missing = 4 * (atOnce - slabs.count)
    return .words(
      words + Array(repeating: 0, count: missing) + [KernelArgument.pair(slabs.count, known)])
  }

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
