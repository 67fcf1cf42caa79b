import CMaTVLMKernels
import COpenBLAS

/// Products of float32 matrices by OpenBLAS, one tile a call, in one thread.
extension CPUBackend {
  /// y = start + left right
  func multiplyByBLAS(_ product: matvlm_product, _ right: UnsafePointer<Float>) {
    let y = product.y!
    if let start = product.start, start != y {
      for row in 0..<product.rows {
        (y + row * product.y_stride).update(
          from: start + row * product.start_row, count: product.columns)
      }
    }
    let isTurned = product.right_column != 1
    // A row's distance counts for nothing where there is one row, but must cover it.
    let stride = isTurned ? product.right_column : max(product.columns, product.right_row)
    cblas_sgemm(
      CblasRowMajor, CblasNoTrans, isTurned ? CblasTrans : CblasNoTrans, Int32(product.rows),
      Int32(product.columns), Int32(product.depth), 1, product.left,
      Int32(max(1, product.left_row)), right, Int32(stride),
      product.start == nil ? 0 : 1, y, Int32(product.y_stride))
  }

  /// The largest tile of a gradient.
  private static let gradientTile = (rows: 256, columns: 512)

  /// sums [pieces, O, I]: cuts the rows into as many parts; each piece becomes, or is added to, dyᵀ x
  /// of its part.
  func weightGradient(_ dy: FloatRows, _ x: FloatRows, adding: Bool, into sums: Tensor) {
    let (pieces, inputs) = (sums.shape[0], x.width)
    let tiles = TileGrid(dy.width, inputs, most: Self.gradientTile, wanted: 8 / pieces)
    let depth = (dy.count + pieces - 1) / pieces
    parallel(pieces * tiles.count) { item in
      let (rows, columns) = tiles[item % tiles.count]
      let piece = item / tiles.count
      let part = min(dy.count, piece * depth)..<min(dy.count, (piece + 1) * depth)
      let sum = sums.floats + (piece * dy.width + rows.lowerBound) * inputs + columns.lowerBound
      cblas_sgemm(
        CblasRowMajor, CblasTrans, CblasNoTrans, Int32(rows.count), Int32(columns.count),
        Int32(part.count), 1, dy.row(part.lowerBound) + rows.lowerBound, Int32(dy.width),
        x.row(part.lowerBound) + columns.lowerBound, Int32(inputs), adding ? 1 : 0, sum,
        Int32(inputs))
    }
  }
}
