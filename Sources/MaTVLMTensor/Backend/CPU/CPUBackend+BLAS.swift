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

  /// y = leftᵀ right, or y + leftᵀ right where the product begins with y.
  /// - Parameter left: [depth, rows], rows of it `stride` apart.
  func multiplyTurnedByBLAS(
    _ left: UnsafePointer<Float>, _ stride: Int, _ product: matvlm_product,
    _ right: UnsafePointer<Float>
  ) {
    cblas_sgemm(
      CblasRowMajor, CblasTrans, CblasNoTrans, Int32(product.rows), Int32(product.columns),
      Int32(product.depth), 1, left, Int32(stride), right, Int32(product.right_row),
      product.start == nil ? 0 : 1, product.y, Int32(product.y_stride))
  }
}
