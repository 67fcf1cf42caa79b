import CMaTVLMKernels

/// What one matrix of weights adds to a product of many rows.
struct ProductTerm: Sendable {
  let x: FloatRows
  let weight: Tensor
  /// x weightᵀ, as a layer computes, and not x weight, as its gradient does.
  let isTurned: Bool
  /// float32, added to each row.
  var bias: Tensor?
}

/// Products of many rows: tiles of the result, in each of which a piece of the weights is copied once
/// and multiplied with all rows.
extension CPUBackend {
  /// The largest tile: as many rows as there are as a rule, so that weights are copied once.
  private static let tile = (rows: 1024, columns: 128)
  /// Where both factors are copied.
  private static let squareTile = (rows: 512, columns: 512)
  /// Rows of quantised weights that are unpacked to float32 at once.
  private static let unpackedDepth = 1024

  /// y ← stream + Σ of the terms.
  /// - Parameter stream: of y's shape; nil: zeros.
  func manyRowsWork(
    _ terms: [ProductTerm], addedTo stream: FloatRows? = nil, into y: FloatRows
  ) -> ProductWork {
    let tiles = TileGrid(y.count, y.width, most: Self.tile, wanted: 4)
    return ProductWork(items: tiles.count, y: y) { [self] item in
      let (rows, columns) = tiles[item]
      if let stream {
        for t in rows {
          (y.row(t) + columns.lowerBound).update(
            from: stream.row(t) + columns.lowerBound, count: columns.count)
        }
      }
      for (index, term) in terms.enumerated() {
        multiply(term, rows, columns, adding: stream != nil || index > 0, into: y)
      }
      return (rows, columns)
    }
  }

  /// One tile of one term.
  private func multiply(
    _ term: ProductTerm, _ rows: Range<Int>, _ columns: Range<Int>, adding: Bool, into y: FloatRows
  ) {
    let (weight, width, depth) = (term.weight, term.weight.shape.width, term.x.width)
    var product = Self.product(rows, columns, adding: adding, into: y)
    product.bias = term.bias.map { UnsafePointer($0.floats + columns.lowerBound) }
    product.depth = depth
    product.left = UnsafePointer(term.x.row(rows.lowerBound))
    (product.left_row, product.left_column) = (depth, 1)
    (product.right_row, product.right_column) = term.isTurned ? (1, width) : (width, 1)
    let first = columns.lowerBound * (term.isTurned ? width : 1)
    switch weight.dtype {
    case .float32, .int32:
      run(&product, kernels.product.with_floats, UnsafeRawPointer(weight.floats + first))
    case .bfloat16:
      run(&product, kernels.product.with_bf16, UnsafeRawPointer(weight.halves + first))
    case .float16:
      run(&product, kernels.product.with_f16, UnsafeRawPointer(weight.halves + first))
    case .quantized:
      require(!term.isTurned, "multiply: rows that are not rounded, weight \(weight.dtype)")
      multiplyUnpacked(&product, weight, columns)
    }
  }

  /// The same with rows of quantised weights, some at a time.
  private func multiplyUnpacked(
    _ product: inout matvlm_product, _ weight: Tensor, _ columns: Range<Int>
  ) {
    let (depth, width) = (product.depth, columns.count)
    product.right_row = width
    withScratch(Self.unpackedDepth * width) { unpacked in
      for first in stride(from: 0, to: depth, by: Self.unpackedDepth) {
        product.depth = min(Self.unpackedDepth, depth - first)
        for k in 0..<product.depth {
          unpack(
            weight, from: (first + k) * weight.shape.width + columns.lowerBound, count: width,
            to: unpacked + k * width)
        }
        run(&product, kernels.product.with_floats, UnsafeRawPointer(unpacked))
        product.left += Self.unpackedDepth
        (product.add, product.bias) = (1, nil)
      }
    }
  }

  /// sums [pieces, O, I]: cuts the rows into as many parts; each piece becomes, or is added to, dyᵀ x
  /// of its part.
  func weightGradient(_ dy: FloatRows, _ x: FloatRows, adding: Bool, into sums: Tensor) {
    let pieces = sums.shape[0]
    let tiles = TileGrid(dy.width, x.width, most: Self.squareTile, wanted: 8 / pieces)
    let depth = (dy.count + pieces - 1) / pieces
    let result = FloatRows(sums.reshaped([pieces * dy.width, x.width]))
    parallel(pieces * tiles.count) { [self] item in
      let (rows, columns) = tiles[item % tiles.count]
      let piece = item / tiles.count
      let part = min(dy.count, piece * depth)..<min(dy.count, (piece + 1) * depth)
      let above = piece * dy.width
      var product = Self.product(
        above + rows.lowerBound..<above + rows.upperBound, columns, adding: adding, into: result)
      product.depth = part.count
      product.left = UnsafePointer(dy.row(part.lowerBound) + rows.lowerBound)
      (product.left_row, product.left_column) = (1, dy.width)
      (product.right_row, product.right_column) = (x.width, 1)
      run(
        &product, kernels.product.with_floats,
        UnsafeRawPointer(x.row(part.lowerBound) + columns.lowerBound))
    }
  }

  /// A product whose factors are still to be filled in.
  private static func product(
    _ rows: Range<Int>, _ columns: Range<Int>, adding: Bool, into y: FloatRows
  ) -> matvlm_product {
    var product = matvlm_product()
    (product.rows, product.columns) = (rows.count, columns.count)
    product.y = y.row(rows.lowerBound) + columns.lowerBound
    product.y_stride = y.width
    product.add = adding ? 1 : 0
    return product
  }

  private typealias ProductKernel =
    @convention(c) (UnsafePointer<matvlm_product>, UnsafeMutablePointer<Float>) -> Void

  private func run(
    _ product: inout matvlm_product, _ kernel: ProductKernel, _ right: UnsafeRawPointer
  ) {
    product.right = right
    withScratch(matvlm_product_scratch(&product)) { kernel(&product, $0) }
  }
}
