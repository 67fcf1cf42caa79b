import MaTVLMTensor

extension ReferenceBackend {
  package func layerNorm(
    _ x: Tensor, _ weight: Tensor, _ bias: Tensor, epsilon: Float
  ) -> Tensor {
    let (rows, width) = (x.shape.rows, x.shape.width)
    let source = floats(x, [rows, width], "layerNorm: x")
    let (w, b) = (
      floats(weight, [width], "layerNorm: weight"), floats(bias, [width], "layerNorm: bias")
    )
    let result = (0..<rows).flatMap { row in
      let (normal, _) = standardized(source.row(row), epsilon)
      return (0..<width).map { normal[$0] * w[$0] + b[$0] }
    }
    return tensor(result, x.shape)
  }

  package func layerNormGradient(
    _ dy: Tensor, _ x: Tensor, _ weight: Tensor, epsilon: Float, parameters: Bool
  ) -> (x: Tensor, weight: Tensor?, bias: Tensor?) {
    let (rows, width) = (x.shape.rows, x.shape.width)
    let source = floats(x, [rows, width], "layerNormGradient: x")
    let upstream = floats(dy, [rows, width], "layerNormGradient: dy")
    let w = floats(weight, [width], "layerNormGradient: weight")
    var dx = Grid(zeros: rows, width)
    var (dw, db) = (Grid(zeros: 1, width), Grid(zeros: 1, width))
    for row in 0..<rows {
      let (normal, inverse) = standardized(source.row(row), epsilon)
      let scaled = (0..<width).map { upstream[row, $0] * w[$0] }
      let mean = scaled.reduce(0, +) / Double(width)
      let projection = zip(scaled, normal).reduce(0) { $0 + $1.0 * $1.1 } / Double(width)
      for column in 0..<width {
        dx[row, column] = inverse * (scaled[column] - mean - normal[column] * projection)
        dw[column] += upstream[row, column] * normal[column]
        db[column] += upstream[row, column]
      }
    }
    return (
      tensor(dx, x.shape), parameters ? tensor(dw, [width]) : nil,
      parameters ? tensor(db, [width]) : nil
    )
  }

  /// (x − mean) / √(variance + ε), and the factor that x − mean was multiplied by.
  private func standardized(
    _ x: ArraySlice<Double>, _ epsilon: Float
  ) -> (normal: [Double], inverse: Double) {
    let count = Double(x.count)
    let mean = x.reduce(0, +) / count
    let variance = x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count
    let inverse = 1 / (variance + Double(epsilon)).squareRoot()
    return (x.map { ($0 - mean) * inverse }, inverse)
  }

  package func gatedRMSNorm(
    _ x: Tensor, gate: Tensor, _ weight: Tensor, groupWidth: Int, epsilon: Float
  ) -> Tensor {
    let width = checkedWidth(x, groupWidth)
    let source = floats(x, [x.shape.rows, width], "gatedRMSNorm: x")
    let gates = floats(gate, x.shape, "gatedRMSNorm: gate")
    let w = floats(weight, [width], "gatedRMSNorm: weight")
    var result = Grid(zeros: x.shape.rows, width)
    for row in 0..<x.shape.rows {
      for columns in groups(width, groupWidth) {
        let gated = columns.map { source[row, $0] * Activation.silu.value(gates[row, $0]) }
        let inverse = inverseRootMeanSquare(gated, epsilon)
        for (g, column) in zip(gated, columns) { result[row, column] = g * inverse * w[column] }
      }
    }
    return tensor(result, x.shape)
  }

  /// With v = x ⊙ silu(gate), r = 1/√(mean(v²) + ε), n = v r:
  /// dv = r (w ⊙ dy − n mean(n ⊙ w ⊙ dy)), dx = dv ⊙ silu(gate), dgate = dv ⊙ x ⊙ silu′(gate),
  /// dw = Σ dy ⊙ n.
  package func gatedRMSNormGradient(
    _ dy: Tensor, _ x: Tensor, gate: Tensor, _ weight: Tensor, groupWidth: Int, epsilon: Float
  ) -> (x: Tensor, gate: Tensor, weight: Tensor) {
    let (rows, width) = (x.shape.rows, checkedWidth(x, groupWidth))
    let source = floats(x, [rows, width], "gatedRMSNormGradient: x")
    let gates = floats(gate, x.shape, "gatedRMSNormGradient: gate")
    let upstream = floats(dy, x.shape, "gatedRMSNormGradient: dy")
    let w = floats(weight, [width], "gatedRMSNormGradient: weight")
    var (dx, dgate) = (Grid(zeros: rows, width), Grid(zeros: rows, width))
    var dw = Grid(zeros: 1, width)
    for row in 0..<rows {
      for columns in groups(width, groupWidth) {
        let gated = columns.map { source[row, $0] * Activation.silu.value(gates[row, $0]) }
        let inverse = inverseRootMeanSquare(gated, epsilon)
        let projection = zip(gated, columns).reduce(0) { sum, entry in
          sum + entry.0 * inverse * w[entry.1] * upstream[row, entry.1]
        }
        for (g, column) in zip(gated, columns) {
          let normal = g * inverse
          let dv =
            inverse * (w[column] * upstream[row, column] - normal * projection / Double(groupWidth))
          dx[row, column] = dv * Activation.silu.value(gates[row, column])
          dgate[row, column] =
            dv * source[row, column] * Activation.silu.derivative(gates[row, column])
          dw[column] += upstream[row, column] * normal
        }
      }
    }
    return (tensor(dx, x.shape), tensor(dgate, x.shape), tensor(dw, [width]))
  }

  private func checkedWidth(_ x: Tensor, _ groupWidth: Int) -> Int {
    precondition(
      groupWidth > 0 && x.shape.width % groupWidth == 0,
      "gatedRMSNorm: groups of \(groupWidth) columns in \(x.shape)")
    return x.shape.width
  }

  private func groups(_ width: Int, _ groupWidth: Int) -> [Range<Int>] {
    stride(from: 0, to: width, by: groupWidth).map { $0..<$0 + groupWidth }
  }

  private func inverseRootMeanSquare(_ x: [Double], _ epsilon: Float) -> Double {
    1 / (x.reduce(0) { $0 + $1 * $1 } / Double(x.count) + Double(epsilon)).squareRoot()
  }
}
