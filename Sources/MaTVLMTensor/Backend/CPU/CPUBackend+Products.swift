import CMaTVLMKernels

/// What one matrix of weights adds to a product of many rows.
struct ProductTerm: Sendable {
  let x: PreparedRows
  let weight: Tensor
  /// x weightᵀ, as a layer computes, and not x weight, as its gradient does.
  let isTurned: Bool
}

/// Products of many rows: tiles of the result, in each of which a piece of the weights is copied once
/// and multiplied with all rows.
extension CPUBackend {
  /// The largest tile: enough rows to copy the weights for, and some times the columns that registers take
  /// at once, so that rows are still near when the next columns are multiplied.
  private static let tile = (rows: 512, columns: 128)
  /// Rows of quantised weights that are unpacked to float32 at once.
  private static let unpackedDepth = 1024

  /// y ← stream + Σ biases + Σ of the terms.
  /// - Parameters:
  ///   - stream: of y's shape; nil: zeros.
  ///   - biases: float32, each added to every row.
  func manyRowsWork(
    _ terms: [ProductTerm], addedTo stream: FloatRows? = nil, _ biases: [Tensor], into y: FloatRows
  ) -> ProductWork {
    let tiles = grid(terms, y)
    return ProductWork(items: tiles.count, y: y) { [self] item in
      let tile = tiles[item]
      for (index, term) in terms.enumerated() {
        var product = matvlm_product(tile.rows, tile.columns, of: y)
        if index > 0 {
          (product.start, product.start_row) = (UnsafePointer(product.y), y.width)
        } else if let stream {
          let first = stream.row(tile.rows.lowerBound) + tile.columns.lowerBound
          (product.start, product.start_row) = (UnsafePointer(first), stream.width)
        } else {
          product.start = biases.first.map { UnsafePointer($0.floats + tile.columns.lowerBound) }
        }
        multiply(term, tile, &product)
      }
      if stream != nil { add(biases, tile, to: y) }
      return tile
    }
  }

  private func grid(_ terms: [ProductTerm], _ y: FloatRows) -> TileGrid {
    guard terms.contains(where: { $0.x.tiles(for: $0.weight) != nil }) else {
      return TileGrid(y.count, y.width, most: Self.tile)
    }
    // Each sum is the same in whatever tile it is, so that tiles may follow from the number of threads.
    return TileGrid(y.count, y.width, most: Self.tiledPart, wanted: 2 * threads)
  }

  private func add(
    _ biases: [Tensor], _ tile: (rows: Range<Int>, columns: Range<Int>), to y: FloatRows
  ) {
    let (first, count) = (tile.columns.lowerBound, tile.columns.count)
    for row in tile.rows {
      let part = y.row(row) + first
      for bias in biases {
        kernels.elementwise.add(part, bias.floats + first, part, Int64(count))
      }
    }
  }

  /// One tile of one term.
  private func multiply(
    _ term: ProductTerm, _ tile: (rows: Range<Int>, columns: Range<Int>),
    _ product: inout matvlm_product
  ) {
    let (x, weight, width) = (term.x.rows, term.weight, term.weight.shape.width)
    let depth = x.width
    product.depth = depth
    product.left = UnsafePointer(x.row(tile.rows.lowerBound))
    product.left_row = depth
    (product.right_row, product.right_column) = term.isTurned ? (1, width) : (width, 1)
    let first = tile.columns.lowerBound * (term.isTurned ? width : 1)
    if let left = term.x.tiles(for: weight),
      let kernel = tileKernel(weight.dtype, isRounded: left.isRounded)
    {
      let right = weight.storage.memory.pointer + first * weight.dtype.byteCount
      return run(&product, kernel, left.line(tile.rows.lowerBound), UnsafeRawPointer(right))
    }
    switch weight.dtype {
    case .float32, .int32: run(&product, weight.floats + first)
    case .bfloat16:
      let right = UnsafeRawPointer(weight.halves + first)
      if let rounded = term.x.rounded, let kernel = kernels.product.of_bf16 {
        product.right = right
        let left = rounded.halves + tile.rows.lowerBound * depth
        withScratch(matvlm_product_scratch(product.rows, product.columns)) {
          kernel(&product, left, $0)
        }
      } else {
        run(&product, kernels.product.with_bf16, right)
      }
    case .float16:
      run(&product, kernels.product.with_f16, UnsafeRawPointer(weight.halves + first))
    case .quantized:
      require(!term.isTurned, "multiply: rows that are not rounded, weight \(weight.dtype)")
      multiplyUnpacked(&product, weight, tile.columns)
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
        run(&product, unpacked)
        product.left += Self.unpackedDepth
        (product.start, product.start_row) = (UnsafePointer(product.y), product.y_stride)
      }
    }
  }

  /// With float32 weights: where our kernels have no wide vectors, BLAS has.
  private func run(_ product: inout matvlm_product, _ right: UnsafePointer<Float>) {
    if hasWideVectors {
      run(&product, kernels.product.with_floats, UnsafeRawPointer(right))
    } else {
      multiplyByBLAS(product, right)
    }
  }

  private typealias ProductKernel =
    @convention(c) (UnsafePointer<matvlm_product>, UnsafeMutablePointer<Float>) -> Void

  private func run(
    _ product: inout matvlm_product, _ kernel: ProductKernel, _ right: UnsafeRawPointer
  ) {
    product.right = right
    withScratch(matvlm_product_scratch(product.rows, product.columns)) { kernel(&product, $0) }
  }
}

extension matvlm_product {
  /// A tile of y whose factors are still to be filled in.
  fileprivate init(_ rows: Range<Int>, _ columns: Range<Int>, of y: FloatRows) {
    self.init()
    (self.rows, self.columns) = (rows.count, columns.count)
    self.y = y.row(rows.lowerBound) + columns.lowerBound
    y_stride = y.width
  }
}
