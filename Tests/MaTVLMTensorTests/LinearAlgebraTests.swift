import MaTVLMTensor
import Testing

@Suite("Linear algebra")
struct LinearAlgebraTests {
  @Test("a line through three points, and a second column")
  func line() throws {
    // y = 1 + 2t and y = 4 − t at t = 0, 1, 2: AᵀA = [[3, 3], [3, 5]].
    let solution = try LinearAlgebra.leastSquares(
      normal: [3, 3, 3, 5], unknowns: 2, rightHandSide: [9, 9, 13, 7])
    let expected = [1, 4, 2, -1] as [Double]
    #expect(zip(solution, expected).allSatisfy { abs($0 - $1) < 1e-12 }, "\(solution)")
  }

  @Test("only the lower triangle counts, and the ridge is added to the diagonal")
  func ridge() throws {
    // [[4, 2], [2, 3]] w = [10, 9] → w = [1.5, 2]; upper element wrong on purpose.
    let solution = try LinearAlgebra.leastSquares(
      normal: [3, 99, 2, 2], unknowns: 2, rightHandSide: [10, 9], ridge: 1)
    #expect(abs(solution[0] - 1.5) < 1e-12 && abs(solution[1] - 2) < 1e-12, "\(solution)")
  }

  @Test("indefinite, singular and undefined matrices are errors")
  func failures() {
    #expect(throws: LinearAlgebra.Failure.notPositiveDefinite(order: 2)) {
      try LinearAlgebra.leastSquares(normal: [1, 2, 2, 1], unknowns: 2, rightHandSide: [1, 1])
    }
    #expect(throws: LinearAlgebra.Failure.notPositiveDefinite(order: 1)) {
      try LinearAlgebra.leastSquares(normal: [0], unknowns: 1, rightHandSide: [1])
    }
    #expect(throws: LinearAlgebra.Failure.notFinite) {
      try LinearAlgebra.leastSquares(normal: [.nan], unknowns: 1, rightHandSide: [1])
    }
    #expect(throws: LinearAlgebra.Failure.notFinite) {
      try LinearAlgebra.singularValueDecomposition([.infinity], rows: 1, columns: 1)
    }
  }

  @Test("singular values by hand")
  func singularValues() throws {
    let diagonal = try LinearAlgebra.singularValueDecomposition([0, -2, 3, 0], rows: 2, columns: 2)
    #expect(abs(diagonal.values[0] - 3) < 1e-12 && abs(diagonal.values[1] - 2) < 1e-12)
    // AᵀA = [[2, 1], [1, 2]], eigenvalues 3 and 1.
    let tall = try LinearAlgebra.singularValueDecomposition(
      [1, 1, 0, 1, 1, 0], rows: 3, columns: 2)
    #expect(abs(tall.values[0] - 3.0.squareRoot()) < 1e-12 && abs(tall.values[1] - 1) < 1e-12)
  }

  @Test("the factors multiply back", arguments: [(3, 2), (2, 3), (1, 4), (4, 4)])
  func product(_ rows: Int, _ columns: Int) throws {
    var generator = RandomGenerator(seed: 3)
    let matrix = (0..<rows * columns).map { _ in generator.normal() }
    let parts = try LinearAlgebra.singularValueDecomposition(matrix, rows: rows, columns: columns)
    let k = min(rows, columns)
    for i in 0..<rows {
      for j in 0..<columns {
        let sum = (0..<k).map {
          parts.left[i * k + $0] * parts.values[$0] * parts.right[$0 * columns + j]
        }.reduce(0, +)
        #expect(abs(sum - matrix[i * columns + j]) < 1e-12)
      }
    }
  }

  @Test("functions of a symmetric matrix, by hand; only the lower triangle counts")
  func functions() throws {
    // Eigenvalues 3 and 1; the square root has (√3 ± 1) / 2.
    let parts = try SymmetricEigendecomposition(of: [2, 99, 1, 2], order: 2)
    #expect(abs(parts.values[0] - 1) < 1e-12 && abs(parts.values[1] - 3) < 1e-12)
    let (sum, difference) = ((3.0.squareRoot() + 1) / 2, (3.0.squareRoot() - 1) / 2)
    let root = parts.matrix { $0.squareRoot() }
    let expected = [sum, difference, difference, sum]
    #expect(zip(root, expected).allSatisfy { abs($0 - $1) < 1e-12 }, "\(root)")
    #expect(throws: LinearAlgebra.Failure.notFinite) {
      try SymmetricEigendecomposition(of: [.nan], order: 1)
    }
  }

  @Test("sums of products of more rows than are held at once, and what undoes them")
  func moments() throws {
    var generator = RandomGenerator(seed: 5)
    let (rows, width) = (700, 3)
    let x = (0..<rows * width).map { _ in Float(generator.normal()) }
    var gram = GramMatrix(width: width)
    gram.add(Tensor(Array(x.prefix(600 * width)), [600, width]))
    gram.add(Tensor(Array(x.dropFirst(600 * width)), [100, width]))
    let parts = try gram.eigendecomposition()
    let (all, inverse) = (parts.matrix { $0 }, parts.matrix { 1 / $0 })
    for i in 0..<width {
      for j in 0..<width {
        let sum = (0..<rows).reduce(0.0) {
          $0 + Double(x[$1 * width + i]) * Double(x[$1 * width + j])
        }
        #expect(abs(all[i * width + j] - sum) < 1e-9)
        let product = (0..<width).reduce(0.0) {
          $0 + all[i * width + $1] * inverse[$1 * width + j]
        }
        #expect(abs(product - (i == j ? 1 : 0)) < 1e-12)
      }
    }
  }
}
