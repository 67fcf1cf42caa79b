import COpenBLAS

/// Least squares over rows that come a few at a time: the W and b that make ‖X Wᵀ + b − Y‖² least,
/// from XᵀX and XᵀY, which are added up in double precision.
package struct NormalEquations: Sendable {
  /// The layer that was solved for.
  package struct Solution: Sendable {
    /// W [outputs, inputs]
    package let weight: [Float]
    /// b [outputs]; nil for a layer without.
    package let bias: [Float]?
    /// What was added to the diagonal, as a part of its mean.
    package let ridge: Double
  }

  /// How often, and by how much, the ridge grows before a system is given up.
  private static let (attempts, growth, leastGrown) = (4, 100.0, 1e-8)

  private let inputs: Int
  private let outputs: Int
  private let hasBias: Bool
  private var gram: GramMatrix
  /// XᵀY [inputs, outputs]
  private var products: [Double]
  private var inputSums: [Double]
  private var outputSums: [Double]
  private var rows = 0

  /// - Parameter hasBias: whether the layer to solve for has a bias, which no ridge holds back.
  package init(inputs: Int, outputs: Int, hasBias: Bool) {
    (self.inputs, self.outputs, self.hasBias) = (inputs, outputs, hasBias)
    gram = GramMatrix(width: inputs)
    products = Array(repeating: 0, count: inputs * outputs)
    inputSums = Array(repeating: 0, count: inputs)
    outputSums = Array(repeating: 0, count: outputs)
  }

  /// Adds rows x [T, inputs] of X and y [T, outputs] of Y.
  package mutating func add(_ x: Tensor, _ y: Tensor) {
    let count = x.shape.rows
    require(
      x.shape == [count, inputs] && y.shape == [count, outputs],
      "NormalEquations: \(x.shape) and \(y.shape) for \(inputs) inputs and \(outputs) outputs")
    let (x, y) = (x.array(), y.array())
    for start in stride(from: 0, to: count, by: GramMatrix.chunk) {
      let end = min(count, start + GramMatrix.chunk)
      add(
        x[start * inputs..<end * inputs].map(Double.init),
        y[start * outputs..<end * outputs].map(Double.init), rows: end - start)
    }
    rows += count
  }

  private mutating func add(_ x: [Double], _ y: [Double], rows: Int) {
    gram.add(x, rows: rows)
    cblas_dgemm(
      CblasRowMajor, CblasTrans, CblasNoTrans, numericCast(inputs), numericCast(outputs),
      numericCast(rows), 1, x, numericCast(inputs), y, numericCast(outputs), 1, &products,
      numericCast(outputs))
    guard hasBias else { return }
    for index in x.indices { inputSums[index % inputs] += x[index] }
    for index in y.indices { outputSums[index % outputs] += y[index] }
  }

  /// Solves by Cholesky factorisation. A system that is not positive definite is tried again with a
  /// hundredfold ridge, three times.
  ///
  /// - Parameter ridge: added to the diagonal, as a part of its mean.
  /// - Throws: ``LinearAlgebra/Failure`` when there is no answer with the largest ridge either.
  package func solve(ridge: Double) throws(LinearAlgebra.Failure) -> Solution {
    let (gram, products) = hasBias && rows > 0 ? centred : (gram.elements, products)
    let scale = (0..<inputs).reduce(0) { $0 + gram[$1 * (inputs + 1)] } / Double(inputs)
    guard scale.isFinite else { throw .notFinite }
    var ridge = ridge
    for attempt in 1... {
      do {
        let solution = try LinearAlgebra.leastSquares(
          normal: gram, unknowns: inputs, rightHandSide: products, ridge: ridge * scale)
        return layer(solution, ridge: ridge)
      } catch LinearAlgebra.Failure.notPositiveDefinite(let order) {
        guard attempt < Self.attempts else { throw .notPositiveDefinite(order: order) }
        ridge = max(ridge * Self.growth, Self.leastGrown)
      }
    }
    fatalError("NormalEquations: no attempt")  // The loop ends by returning or throwing.
  }

  /// The same sums for rows from which their mean was taken: what a bias leaves to be explained.
  private var centred: ([Double], [Double]) {
    var (gram, products) = (gram.elements, products)
    for i in 0..<inputs {
      let mean = inputSums[i] / Double(rows)
      for j in 0...i { gram[i * inputs + j] -= mean * inputSums[j] }
      for j in 0..<outputs { products[i * outputs + j] -= mean * outputSums[j] }
    }
    return (gram, products)
  }

  /// - Parameter solution: Wᵀ [inputs, outputs]
  private func layer(_ solution: [Double], ridge: Double) -> Solution {
    var weight = [Float](repeating: 0, count: inputs * outputs)
    var bias = outputSums.map { $0 / Double(max(1, rows)) }
    for i in 0..<inputs {
      let mean = inputSums[i] / Double(max(1, rows))
      for j in 0..<outputs {
        weight[j * inputs + i] = Float(solution[i * outputs + j])
        bias[j] -= mean * solution[i * outputs + j]
      }
    }
    return Solution(weight: weight, bias: hasBias ? bias.map { Float($0) } : nil, ridge: ridge)
  }
}
