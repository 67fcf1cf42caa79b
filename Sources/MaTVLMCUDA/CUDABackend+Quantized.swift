import MaTVLMTensor

/// Weights in 8 or 4 bits. Products of few rows read them as they are; for many rows a matrix is
/// written out in the activations' type, which costs little beside such a product.
extension CUDABackend {
  package var holdsQuantizedWeights: Bool { true }

  /// `AT_ONCE` and `MOST_WARPS` of quantized_products.cu.
  private static let layersAtOnce = 4
  private static let mostWarps = 12
  /// Tiles of 8 columns that are compiled for; more are not faster than the library's product.
  private static let mostTiles = 4

  /// Tiles that rows make, each float32 row three columns; nil: they are too many, or of widths that
  /// are not whole words of codes.
  private func rowTiles(_ x: [Tensor], _ quantization: Quantization) -> Int? {
    let perRow = x[0].dtype == .float32 ? 3 : 1
    let tiles = (x[0].shape.rows * perRow + 7) / 8
    let isOurs =
      (1...Self.mostTiles).contains(tiles)
      && x.allSatisfy { $0.shape.width % quantization.wordColumns == 0 }
    return isOurs ? tiles : nil
  }

  /// Warps that share the columns of a panel, so that the card is full and no warp does a round alone.
  private func warps(panels: Int, _ matrices: [QuantizedMatrix]) -> Int {
    let batches = matrices.reduce(0) { $0 + $1.batches }
    // As measured: codes of 4 bits are more work for each byte.
    let (resident, least) = matrices[0].layout.quantization.code == .int4 ? (32, 4) : (20, 1)
    let rounds = max(1, batches * panels / (resident * device.multiprocessors))
    return min(Self.mostWarps, max(least, (batches + rounds - 1) / rounds))
  }

  // MARK: Products

  /// ``linear(_:_:)`` of few rows, when a weight is quantised; nil: it is no such product.
  func linearOfFewQuantized(_ x: Tensor, _ projections: [Projection]) -> [Tensor]? {
    guard let type = projections.map(\.weight.dtype).first(where: { $0.quantization != nil }),
      let tiles = type.quantization.flatMap({ rowTiles([x], $0) })
    else { return nil }
    let isOurs = projections.map { $0.weight.dtype == type }
    let others = zip(projections, isOurs).filter { !$1 }.map(\.0)
    // Of other types, or rounded in another way.
    var rest = others.isEmpty ? [] : linear(x, others)
    let results = zip(projections, isOurs).map { layer, isOurs in
      isOurs ? empty([x.shape.rows, layer.weight.shape.rows], x.dtype) : rest.removeFirst()
    }
    let layers = zip(projections, results).filter { $0.0.weight.dtype == type }
    for first in stride(from: 0, to: layers.count, by: Self.layersAtOnce) {
      multiplyQuantized(x, Array(layers[first...].prefix(Self.layersAtOnce)), tiles: tiles)
    }
    return results
  }

  private func multiplyQuantized(_ x: Tensor, _ layers: [(Projection, Tensor)], tiles: Int) {
    let matrices = layers.compactMap { QuantizedMatrix($0.0.weight) }
    var source = matrices[0].source(.quantizedProducts, x.dtype)
    source.rowTiles = tiles
    let words = zip(layers, matrices).flatMap { entry, matrix -> [UInt64] in
      let (layer, y) = entry
      return matrix.factors(x) + [
        layer.bias?.address ?? 0, y.address,
        KernelArgument.pair(y.shape.width, layer.activation?.kernelCode ?? -1),
      ]
    }
    let missing = 7 * (Self.layersAtOnce - layers.count)
    let panels = matrices.reduce(0) { $0 + $1.layout.panels }
    let warps = warps(panels: panels, [matrices[0]])
    launch(
      source, "quantizedLinear", grid: Grid(panels), block: 32 * warps,
      overlaps: settle(matrices.map(\.tensor)),
      [.words(words + Array(repeating: 0, count: missing)), .int32(x.shape.rows)])
  }

  /// ``addLinear(_:_:)`` of few rows, when a weight is quantised; nil: it is no such product.
  func addLinearOfFewQuantized(_ stream: Tensor, _ terms: [LinearTerm]) -> Tensor? {
    guard
      let type = terms.map(\.projection.weight.dtype).first(where: { $0.quantization != nil }),
      let tiles = type.quantization.flatMap({ rowTiles(terms.map(\.x), $0) })
    else { return nil }
    let ours = Array(
      terms.filter { $0.projection.weight.dtype == type }.prefix(Self.layersAtOnce))
    let sum = addQuantized(stream, ours, tiles: tiles)
    let others = terms.filter { $0.projection.weight.dtype != type }
    let tooMany = terms.filter { $0.projection.weight.dtype == type }.dropFirst(ours.count)
    return others.isEmpty && tooMany.isEmpty ? sum : addLinear(sum, others + tooMany)
  }

  private func addQuantized(_ stream: Tensor, _ terms: [LinearTerm], tiles: Int) -> Tensor {
    let y = empty(stream.shape, stream.dtype)
    let matrices = terms.compactMap { QuantizedMatrix($0.projection.weight) }
    var source = matrices[0].source(.quantizedProducts, y.dtype)
    source.rowTiles = tiles
    let missing = Self.layersAtOnce - terms.count
    let factors = zip(terms, matrices).flatMap { term, matrix in matrix.factors(term.x) }
    let biases = terms.map { $0.projection.bias?.address ?? 0 }
    let panels = matrices[0].layout.panels
    launch(
      source, "quantizedAddLinear", grid: Grid(panels),
      block: 32 * warps(panels: panels, matrices),
      overlaps: settle(matrices.map(\.tensor)),
      [
        .tensor(y), .tensor(stream),
        .words(
          factors + Array(repeating: 0, count: 4 * missing) + biases
            + Array(repeating: 0, count: missing)),
        .int32(terms.count), .int32(y.shape.width), .int32(y.shape.rows),
      ])
    return y
  }

  // MARK: Rounding

  /// ``convert(_:to:)`` from or to a quantised type.
  func convertQuantized(_ x: Tensor, to dtype: DType) -> Tensor {
    if dtype == .float16 { return convert(convertQuantized(x, to: .float32), to: .float16) }
    require(
      x.dtype.isFloatingPoint || dtype.isFloatingPoint,
      "convert: \(x.shape) from \(x.dtype) to \(dtype)")
    let y = empty(x.shape, dtype)
    guard x.shape.count > 0 else { return y }
    if let matrix = QuantizedMatrix(y) {
      launch(
        matrix.source(.quantizedRows, .float32), "quantize",
        grid: Grid(matrix.layout.groups, 2 * matrix.layout.panels),
        [matrix.argument, .tensor(x), .int32(x.dtype.kernelCode)])
    } else if let matrix = QuantizedMatrix(x) {
      launch(
        matrix.source(.quantizedRows, dtype), "dequantize",
        grid: Grid((matrix.words + 15) / 16, matrix.layout.panels), [.tensor(y), matrix.argument])
    }
    return y
  }
}
