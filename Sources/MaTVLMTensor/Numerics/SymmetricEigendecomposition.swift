import CLAPACKE
import COpenBLAS

/// A symmetric matrix as V Λ Vᵀ, in double precision.
package struct SymmetricEigendecomposition: Sendable {
  /// Λ, ascending.
  package let values: [Double]
  /// V [order, order]; its columns are the vectors.
  private let vectors: [Double]

  /// Decomposes by LAPACK's `dsyevd`.
  ///
  /// - Parameter matrix: [order, order]; only the lower triangle is read.
  /// - Throws: ``LinearAlgebra/Failure`` when the matrix is not finite or the iteration does not
  ///   converge.
  package init(of matrix: [Double], order: Int) throws(LinearAlgebra.Failure) {
    require(
      order > 0 && matrix.count == order * order,
      "eigendecomposition: \(matrix.count) elements for order \(order)")
    guard matrix.allSatisfy(\.isFinite) else { throw .notFinite }
    var (vectors, values) = (matrix, [Double](repeating: 0, count: order))
    let status = LAPACKE_dsyevd(
      LAPACK_ROW_MAJOR, CChar(UInt8(ascii: "V")), CChar(UInt8(ascii: "L")), numericCast(order),
      &vectors, numericCast(order), &values)
    if status > 0 { throw .notConverged }
    require(status == 0, "dsyevd: argument \(-status)")
    (self.values, self.vectors) = (values, vectors)
  }

  /// V f(Λ) Vᵀ [order, order].
  package func matrix(_ f: (Double) -> Double) -> [Double] {
    let n = values.count
    let factors = values.map(f)
    let scaled = vectors.enumerated().map { $0.element * factors[$0.offset % n] }
    var product = [Double](repeating: 0, count: n * n)
    cblas_dgemm(
      CblasRowMajor, CblasNoTrans, CblasTrans, numericCast(n), numericCast(n), numericCast(n), 1,
      scaled, numericCast(n), vectors, numericCast(n), 0, &product, numericCast(n))
    return product
  }
}
