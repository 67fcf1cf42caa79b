import MaTVLMTensor

extension OperationCase {
  static let elementwise: [OperationCase] = arithmetic + sums + activations

  private static let shapes: [Shape] = [[0, 4], [1], [37, 19], [1000], [3, 40_009]]

  private static let arithmetic = shapes.map { shape in
    OperationCase("add, multiply, scale activations \(shape)", .oneRounding) { inputs in
      let (a, b) = (inputs.activations(shape), inputs.activations(shape))
      return [
        .activation("a + b", inputs.backend.add(a, b)),
        .activation("a + a", inputs.backend.add(a, a)),
        .activation("a ⊙ b", inputs.backend.multiply(a, b)),
        .activation("a · -1.7", inputs.backend.scale(a, by: -1.7)),
      ]
    }
  }

  /// Gradients of weights stay float32 where activations are narrower.
  private static let sums = shapes.map { shape in
    OperationCase("add, multiply, scale float32 \(shape)", float32Rounding) { inputs in
      let (a, b) = (inputs.vector(shape), inputs.vector(shape))
      return [
        .float32("a + b", inputs.backend.add(a, b)),
        .float32("a ⊙ b", inputs.backend.multiply(a, b)),
        .float32("a · 0.3", inputs.backend.scale(a, by: 0.3)),
      ]
    }
  }

  private static let float32Rounding = CaseTolerance(
    float32: 1.2e-7, narrowRoundings: 0, reason: "one float32 rounding on every device")

  private static let activations = [Activation.gelu, .geluTanh, .silu].flatMap { activation in
    shapes.map { shape in
      OperationCase("activate \(activation) \(shape)", .fewRoundings) { inputs in
        let x = inputs.activations(shape, deviation: 2)
        return activated(x, inputs.activations(shape), activation, inputs.backend)
      }
    } + [
      OperationCase("activate \(activation) far from zero", .fewRoundings) { inputs in
        // Each is a bfloat16 number.
        let values: [Double] = [-100, -88.5, -30, -10, -6, -5.5, -0.0, 0, 5.5, 10, 30, 88.5, 100]
        let shape: Shape = [values.count]
        let x = inputs.fixed(values, shape, inputs.backend.activationType)
        return activated(x, inputs.activations(shape), activation, inputs.backend)
      }
    ]
  }

  private static func activated(
    _ x: Tensor, _ dy: Tensor, _ activation: Activation, _ backend: any Backend
  ) -> [CaseOutput] {
    [
      .activation("y", backend.activate(x, activation)),
      .activation("dx", backend.activateGradient(dy, x, activation)),
    ]
  }
}
