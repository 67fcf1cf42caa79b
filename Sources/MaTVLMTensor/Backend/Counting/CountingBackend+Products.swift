/// Products together, and products added to a stream, are counted as what they are by parts.
extension CountingBackend {
  package func linear(_ x: Tensor, _ weight: Tensor, _ bias: Tensor?) -> Tensor {
    require(
      x.shape.width == weight.shape.width,
      "linear: x is \(x.shape), weight takes width \(weight.shape.width)")
    prepare(x, weight, isTurned: true, rounds: true)
    count(
      OperationCount(
        bias == nil ? "linear" : "linear with bias", product(x.shape.rows, weight),
        [.init(x), .init(weight)] + (bias.map { [.init($0)] } ?? [])
      ) { $0.linear($1[0], $1[1], $1.count > 2 ? $1[2] : nil) })
    return new([x.shape.rows, weight.shape.rows])
  }

  package func linearInputGradient(_ dy: Tensor, _ weight: Tensor) -> Tensor {
    require(
      dy.shape.width == weight.shape.rows,
      "linearInputGradient: dy is \(dy.shape), weight makes width \(weight.shape.rows)")
    prepare(dy, weight, isTurned: false, rounds: false)
    count(
      OperationCount(
        "linearInputGradient", product(dy.shape.rows, weight), [.init(dy), .init(weight)]
      ) { $0.linearInputGradient($1[0], $1[1]) })
    return new([dy.shape.rows, weight.shape.width])
  }

  package func linearWeightGradient(_ dy: Tensor, _ x: Tensor) -> Tensor {
    let gradient = new([dy.shape.width, x.shape.width], .float32, .gradients)
    if !isCard {
      work(
        bytes: CPUBackend.shared.weightGradientWorkspace(
          rows: dy.shape.rows, outputs: dy.shape.width, inputs: x.shape.width,
          threads: concurrent(dy.shape.rows)))
    }
    count(
      OperationCount(
        "linearWeightGradient", product(dy.shape.rows, gradient), [.init(dy), .init(x)]
      ) { $0.linearWeightGradient($1[0], $1[1]) })
    return gradient
  }

  private func product(_ rows: Int, _ weight: Tensor) -> Double {
    2 * Double(rows) * elements(weight)
  }

  /// What a product needs besides its factors and its result.
  private func prepare(_ rows: Tensor, _ weight: Tensor, isTurned: Bool, rounds: Bool) {
    convertOnCard(weight)
    guard !isCard else { return }
    let count = rows.shape.rows
    work(
      bytes: CPUBackend.shared.productWorkspace(
        rows: count, weight, isTurned: isTurned, rounds: rounds, threads: concurrent(count)))
  }

  // MARK: Norms

  package func layerNorm(
    _ x: Tensor, _ weight: Tensor, _ bias: Tensor, epsilon: Float
  ) -> Tensor {
    count(
      OperationCount("layerNorm", 8 * elements(x), [.init(x), .init(weight), .init(bias)]) {
        $0.layerNorm($1[0], $1[1], $1[2], epsilon: epsilon)
      })
    return new(x.shape, x.dtype)
  }

  package func layerNormGradient(
    _ dy: Tensor, _ x: Tensor, _ weight: Tensor, epsilon: Float, parameters: Bool
  ) -> (x: Tensor, weight: Tensor?, bias: Tensor?) {
    count(
      OperationCount(
        parameters ? "layerNormGradient of parameters" : "layerNormGradient", 12 * elements(x),
        [.init(dy), .init(x), .init(weight)]
      ) {
        $0.layerNormGradient($1[0], $1[1], $1[2], epsilon: epsilon, parameters: parameters).x
      })
    let dx = new(x.shape, dy.dtype)
    guard parameters else { return (dx, nil, nil) }
    return (dx, new(weight.shape, .float32, .gradients), new(weight.shape, .float32, .gradients))
  }

  package func gatedRMSNorm(
    _ x: Tensor, gate: Tensor, _ weight: Tensor, groupWidth: Int, epsilon: Float
  ) -> Tensor {
    count(
      OperationCount(
        "gatedRMSNorm", 10 * elements(x), [.init(x), .init(gate), .init(weight)],
        details: [groupWidth]
      ) {
        $0.gatedRMSNorm($1[0], gate: $1[1], $1[2], groupWidth: groupWidth, epsilon: epsilon)
      })
    return new(x.shape, x.dtype)
  }

  package func gatedRMSNormGradient(
    _ dy: Tensor, _ x: Tensor, gate: Tensor, _ weight: Tensor, groupWidth: Int, epsilon: Float
  ) -> (x: Tensor, gate: Tensor, weight: Tensor) {
    count(
      OperationCount(
        "gatedRMSNormGradient", 20 * elements(x),
        [.init(dy), .init(x), .init(gate), .init(weight)], details: [groupWidth]
      ) {
        $0.gatedRMSNormGradient(
          $1[0], $1[1], gate: $1[2], $1[3], groupWidth: groupWidth, epsilon: epsilon
        ).x
      })
    return (
      new(x.shape, x.dtype), new(x.shape, x.dtype), new(weight.shape, .float32, .gradients)
    )
  }
}
