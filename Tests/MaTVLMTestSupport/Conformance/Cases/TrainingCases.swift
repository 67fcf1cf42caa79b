import MaTVLMTensor

extension OperationCase {
  static let updates: [OperationCase] =
    [
      OperationCase("sumOfSquares", .oneRounding) { inputs in
        let shapes: [Shape] = [[5000], [0], [37, 19], [1]]
        let tensors = shapes.map { inputs.vector($0, deviation: 3) }
        return [.float32("sum", inputs.backend.sumOfSquares(tensors))]
      },
      OperationCase("sumOfSquares of large and small", .oneRounding) { inputs in
        let large = inputs.vector([3], deviation: 1000)
        let small = inputs.vector([100_000])
        return [.float32("sum", inputs.backend.sumOfSquares([large, small]))]
      },
    ] + [Float(0), 0.1].flatMap { decay in [Float(1), 0.25].map { adamW(decay, $0) } }

  private static let threeSteps = CaseTolerance(
    float32: 3e-6, narrowRoundings: 0, reason: "a dozen float32 operations, three times over")

  private static func adamW(_ decay: Float, _ gradientScale: Float) -> OperationCase {
    OperationCase("adamW decay \(decay), gradients by \(gradientScale)", threeSteps) { inputs in
      let shapes: [Shape] = [[1], [33], [17, 9], [40_009]]
      let values = shapes.map { inputs.state($0) }
      let first = shapes.map { inputs.backend.zeros($0, .float32) }
      let second = shapes.map { inputs.backend.zeros($0, .float32) }
      for step in 1...3 {
        let updates = shapes.indices.map { index in
          AdamWUpdate(
            value: values[index], gradient: inputs.vector(shapes[index]),
            firstMoment: first[index], secondMoment: second[index],
            weightDecay: index % 2 == 0 ? 0 : decay)
        }
        inputs.backend.adamW(updates, constants(step, gradientScale))
      }
      return shapes.indices.flatMap { index -> [CaseOutput] in
        [
          .float32("value \(index)", values[index]), .float32("mean \(index)", first[index]),
          .float32("mean square \(index)", second[index]),
        ]
      }
    }
  }

  private static func constants(_ step: Int, _ gradientScale: Float) -> AdamWStep {
    func power(_ beta: Float) -> Float {
      Array(repeating: beta, count: step).reduce(1, *)
    }
    return AdamWStep(
      learningRate: 0.01, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, correction1: 1 - power(0.9),
      correction2: 1 - power(0.95), gradientScale: gradientScale)
  }
}
