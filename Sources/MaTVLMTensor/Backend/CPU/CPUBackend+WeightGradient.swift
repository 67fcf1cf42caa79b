import CMaTVLMKernels

extension CPUBackend {
  /// The largest tile of a gradient.
  static let gradientTile = (rows: 256, columns: 512)

  /// Into how many parts the rows are cut as well: small matrices of weights have too few tiles for several threads.
  static func gradientPieces(rows: Int, outputs: Int, inputs: Int) -> Int {
    outputs * inputs < 1 << 20 ? min(8, max(1, rows / 512)) : 1
  }

  /// sums [pieces, O, I]: cuts the rows into as many parts; each piece becomes, or is added to, dyᵀ x
  /// of its part.
  func weightGradient(_ dy: FloatRows, _ x: FloatRows, adding: Bool, into sums: Tensor) {
    let (pieces, outputs, inputs) = (sums.shape[0], dy.width, x.width)
    let depth = (dy.count + pieces - 1) / pieces
    let parts = (0..<pieces).map { piece in
      let rows = min(dy.count, piece * depth)..<min(dy.count, (piece + 1) * depth)
      return GradientPart(
        dy: dy[rows], x: x[rows],
        sum: FloatRows(
          sums.reshaped([pieces * outputs, inputs]), piece * outputs..<(piece + 1) * outputs))
    }
    let tiles = TileGrid(outputs, inputs, most: Self.gradientTile, wanted: 8 / pieces)
    let kernel = tileKernel(.float32, isRounded: false)
    let factors =
      kernel == nil ? [] : parts.map { TileFactor(splitting: $0.dy, isTurned: true, on: self) }
    parallel(pieces * tiles.count) { item in
      let index = item / tiles.count
      let (part, (rows, columns)) = (parts[index], tiles[item % tiles.count])
      var product = matvlm_product()
      (product.rows, product.columns, product.depth) = (rows.count, columns.count, part.dy.count)
      (product.y, product.y_stride) = (part.sum.row(rows.lowerBound) + columns.lowerBound, inputs)
      if adding { (product.start, product.start_row) = (UnsafePointer(product.y), inputs) }
      (product.right_row, product.right_column) = (inputs, 1)
      let right = UnsafePointer(part.x.row(0) + columns.lowerBound)
      if let kernel {
        run(&product, kernel, factors[index].line(rows.lowerBound), UnsafeRawPointer(right))
      } else {
        multiplyTurnedByBLAS(part.dy.row(0) + rows.lowerBound, outputs, product, right)
      }
    }
  }
}

/// Rows whose gradients are summed by themselves.
private struct GradientPart: Sendable {
  let dy: FloatRows
  let x: FloatRows
  let sum: FloatRows
}
