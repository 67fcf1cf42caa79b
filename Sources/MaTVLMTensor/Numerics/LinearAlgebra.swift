import CLAPACKE

/// Dense linear algebra in double precision by LAPACK, for what is computed once per run.
///
/// Matrices are row-major arrays.
package enum LinearAlgebra {
  /// Why a system has no answer.
  package enum Failure: Error, Sendable, Hashable, CustomStringConvertible {
    case notFinite
    /// The leading minor of this order is not positive.
    case notPositiveDefinite(order: Int)
    case notConverged

    package var description: String {
      switch self {
      case .notFinite:
        "linear algebra: the input has infinite or undefined elements"
      case .notPositiveDefinite(let order):
        "linear algebra: expected a positive definite matrix, its leading minor of order \(order) "
          + "is not; use more samples or a larger ridge"
      case .notConverged:
        "linear algebra: the singular value decomposition did not converge"
      }
    }
  }

  /// The minimiser W [n, m] of ‖A W − B‖² + ridge ‖W‖², from AᵀA and AᵀB: solves
  /// (AᵀA + ridge I) W = AᵀB by Cholesky factorisation (`dposv`).
  ///
  /// - Parameters:
  ///   - gram: AᵀA [n, n]; only the lower triangle is read.
  ///   - unknowns: n.
  ///   - rightHandSide: AᵀB [n, m]; m follows from its size.
  /// - Throws: ``Failure`` when the matrix is not finite or not positive definite.
  /// - Precondition: the sizes fit, n is positive, and the ridge is not negative.
  package static func leastSquares(
    normal gram: [Double], unknowns: Int, rightHandSide: [Double], ridge: Double = 0
  ) throws(Failure) -> [Double] {
    let n = unknowns
    require(
      n > 0 && gram.count == n * n && rightHandSide.count % n == 0 && ridge >= 0,
      "leastSquares: \(gram.count) and \(rightHandSide.count) elements for \(n) unknowns")
    let columns = rightHandSide.count / n
    guard columns > 0 else { return [] }
    var factor = gram
    for i in 0..<n { factor[i * n + i] += ridge }
    guard factor.allSatisfy(\.isFinite), rightHandSide.allSatisfy(\.isFinite) else {
      throw .notFinite
    }
    var solution = rightHandSide
    let status = LAPACKE_dposv(
      LAPACK_ROW_MAJOR, CChar(UInt8(ascii: "L")), numericCast(n), numericCast(columns), &factor,
      numericCast(n), &solution, numericCast(columns))
    if status > 0 { throw .notPositiveDefinite(order: Int(status)) }
    require(status == 0, "dposv: argument \(-status)")
    return solution
  }

  /// A = U diag(s) Vᵀ with k = min(rows, columns) singular values, largest first.
  package struct SingularValueDecomposition: Sendable, Hashable {
    /// U [rows, k]
    package let left: [Double]
    /// s [k]
    package let values: [Double]
    /// Vᵀ [k, columns]
    package let right: [Double]
  }

  /// The thin singular value decomposition of a matrix [rows, columns] (`dgesdd`).
  /// - Throws: ``Failure`` when the matrix is not finite or the iteration does not converge.
  /// - Precondition: the matrix has rows · columns elements, and some.
  package static func singularValueDecomposition(
    _ matrix: [Double], rows: Int, columns: Int
  ) throws(Failure) -> SingularValueDecomposition {
    require(
      rows > 0 && columns > 0 && matrix.count == rows * columns,
      "singularValueDecomposition: \(matrix.count) elements for [\(rows), \(columns)]")
    guard matrix.allSatisfy(\.isFinite) else { throw .notFinite }
    let k = min(rows, columns)
    var destroyed = matrix
    var left = [Double](repeating: 0, count: rows * k)
    var values = [Double](repeating: 0, count: k)
    var right = [Double](repeating: 0, count: k * columns)
    let status = LAPACKE_dgesdd(
      LAPACK_ROW_MAJOR, CChar(UInt8(ascii: "S")), numericCast(rows), numericCast(columns),
      &destroyed, numericCast(columns), &values, &left, numericCast(k), &right,
      numericCast(columns))
    if status > 0 { throw .notConverged }
    require(status == 0, "dgesdd: argument \(-status)")
    return SingularValueDecomposition(left: left, values: values, right: right)
  }
}
