import MaTVLMTensor

extension OperationCase {
  static let norms: [OperationCase] = layerNorms + [farFromZero] + gatedNorms

  private static let layerNorms = [
    (0, 24), (1, 24), (5, 2), (7, 33), (37, 80), (65, 160), (3, 1152), (2000, 33),
  ].flatMap { count, width in
    [true, false].map { parameters in
      let wish = parameters ? "with" : "without"
      return OperationCase(
        "layerNorm [\(count), \(width)] \(wish) parameters", .chain
      ) { inputs in
        let x = inputs.activations([count, width], mean: 0.5, deviation: 2)
        return normalized(x, parameters: parameters, &inputs)
      }
    }
  }

  private static let farFromZero = OperationCase(
    "layerNorm far from zero",
    CaseTolerance(
      float32: 1e-4, narrowRoundings: 3,
      reason: "the mean is 100 deviations, so x − mean has two digits less than x")
  ) { inputs in
    let x = inputs.activations([7, 80], mean: 100)
    return normalized(x, parameters: true, &inputs)
  }

  private static func normalized(
    _ x: Tensor, parameters: Bool, _ inputs: inout CaseInputs
  ) -> [CaseOutput] {
    let width = x.shape.width
    let (weight, bias) = (inputs.vector([width]), inputs.vector([width]))
    let dy = inputs.activations(x.shape)
    let backend = inputs.backend
    let gradient = backend.layerNormGradient(
      dy, x, weight, epsilon: 1e-5, parameters: parameters)
    return [
      .activation("y", backend.layerNorm(x, weight, bias, epsilon: 1e-5)),
      .activation("dx", gradient.x),
    ] + (gradient.weight.map { [.float32("dweight", $0)] } ?? [])
      + (gradient.bias.map { [.float32("dbias", $0)] } ?? [])
  }

  private static let gatedNorms = [
    (0, 48, 16), (1, 24, 24), (5, 48, 16), (7, 80, 80), (9, 33, 11), (37, 160, 80), (3, 72, 72),
    (65, 240, 80), (4, 6, 1), (2000, 33, 11),
  ].map { count, width, groupWidth in
    OperationCase("gatedRMSNorm [\(count), \(width)] by \(groupWidth)", .chain) { inputs in
      let x = inputs.activations([count, width])
      let gate = inputs.activations([count, width])
      let dy = inputs.activations([count, width])
      let weight = inputs.vector([width])
      let backend = inputs.backend
      let gradient = backend.gatedRMSNormGradient(
        dy, x, gate: gate, weight, groupWidth: groupWidth, epsilon: 1e-5)
      return [
        .activation(
          "y", backend.gatedRMSNorm(x, gate: gate, weight, groupWidth: groupWidth, epsilon: 1e-5)),
        .activation("dx", gradient.x), .activation("dgate", gradient.gate),
        .float32("dweight", gradient.weight),
      ]
    }
  }
}
