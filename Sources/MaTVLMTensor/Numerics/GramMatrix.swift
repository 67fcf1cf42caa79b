import COpenBLAS

/// XᵀX of rows that come a few at a time, added up in double precision.
package struct GramMatrix: Sendable {
  /// Rows that are held in double precision at once.
  static let chunk = 512

  /// Columns of X.
  package let width: Int
  /// XᵀX [width, width]; only the lower triangle.
  var elements: [Double]

  package init(width: Int) {
    self.width = width
    elements = Array(repeating: 0, count: width * width)
  }

  /// Adds rows x [T, width] of X.
  package mutating func add(_ x: Tensor) {
    let count = x.shape.rows
    require(x.shape == [count, width], "GramMatrix: \(x.shape) for a width of \(width)")
    let x = x.array()
    for start in stride(from: 0, to: count, by: Self.chunk) {
      let end = min(count, start + Self.chunk)
      add(x[start * width..<end * width].map(Double.init), rows: end - start)
    }
  }

  mutating func add(_ x: [Double], rows: Int) {
    cblas_dsyrk(
      CblasRowMajor, CblasLower, CblasTrans, numericCast(width), numericCast(rows), 1, x,
      numericCast(width), 1, &elements, numericCast(width))
  }

  /// V, Λ and Vᵀ of which the matrix is the product.
  /// - Throws: ``LinearAlgebra/Failure`` when rows were not finite or the iteration does not converge.
  package func eigendecomposition() throws(LinearAlgebra.Failure) -> SymmetricEigendecomposition {
    try SymmetricEigendecomposition(of: elements, order: width)
  }
}
