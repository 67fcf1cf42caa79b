import MaTVLMTensor

extension OperationCase {
  static let products: [OperationCase] =
    weighted + quantized + quantizedTogether + quantizedSums + weightGradients + [patches]
    + together + throughActivations

  private struct Extent {
    let rows, inputs, outputs: Int
  }

  private static let extents: [Extent] = [
    Extent(rows: 0, inputs: 24, outputs: 17), Extent(rows: 1, inputs: 24, outputs: 17),
    Extent(rows: 1, inputs: 300, outputs: 1037), Extent(rows: 2, inputs: 256, outputs: 129),
    Extent(rows: 5, inputs: 1, outputs: 3), Extent(rows: 7, inputs: 33, outputs: 40),
    Extent(rows: 37, inputs: 80, outputs: 65), Extent(rows: 64, inputs: 300, outputs: 1),
    Extent(rows: 129, inputs: 64, outputs: 96), Extent(rows: 200, inputs: 193, outputs: 161),
    Extent(rows: 20, inputs: 2050, outputs: 70), Extent(rows: 1100, inputs: 33, outputs: 259),
    Extent(rows: 3000, inputs: 20, outputs: 9), Extent(rows: 70, inputs: 1100, outputs: 67),
  ]

  private static let weighted = extents.flatMap { extent in
    DType.floatingPointTypes.map { dtype in
      let shape = "[\(extent.rows), \(extent.inputs)] by [\(extent.outputs), \(extent.inputs)]"
      return OperationCase("linear \(shape) \(dtype)", .sum) { inputs in
        let x = inputs.rows([extent.rows, extent.inputs], for: dtype)
        let dy = inputs.activations([extent.rows, extent.outputs])
        let weight = inputs.matrix(extent.outputs, extent.inputs, dtype)
        let bias = inputs.vector([extent.outputs])
        let backend = inputs.backend
        return [
          .activation("x wᵀ", backend.linear(x, weight, nil)),
          .activation("x wᵀ + b", backend.linear(x, weight, bias)),
          .activation("dy w", backend.linearInputGradient(dy, weight)),
        ]
      }
    }
  }

  private static let quantized = extents.flatMap { extent in
    DType.quantizedTypes.flatMap { dtype in
      let shape = "[\(extent.rows), \(extent.inputs)] by [\(extent.outputs), \(extent.inputs)]"
      return [
        OperationCase("linear \(shape) \(dtype)", .roundedRows, isQuantized: true) { inputs in
          let x = inputs.activations([extent.rows, extent.inputs])
          let weight = inputs.matrix(extent.outputs, extent.inputs, dtype)
          let bias = inputs.vector([extent.outputs])
          return [
            .activation("x wᵀ", inputs.backend.linear(x, weight, nil)),
            .activation("x wᵀ + b", inputs.backend.linear(x, weight, bias)),
          ]
        },
        OperationCase("linearInputGradient \(shape) \(dtype)", .sum, isQuantized: true) { inputs in
          let dy = inputs.activations([extent.rows, extent.outputs])
          let weight = inputs.matrix(extent.outputs, extent.inputs, dtype)
          return [.activation("dy w", inputs.backend.linearInputGradient(dy, weight))]
        },
      ]
    }
  }

  private static let quantizedTogether = [1, 5, 70].flatMap { rows in
    [
      [DType.quantized(Quantization(.int8)), .quantized(Quantization(.int8))],
      [.quantized(Quantization(.int4)), .quantized(Quantization(.int4)), .float32],
    ].map { types in
      OperationCase(
        "linear of \(rows) rows by several: \(types)", .roundedRows, isQuantized: true
      ) { inputs in
        let x = inputs.activations([rows, 97])
        let layers = types.enumerated().map { index, type in
          Projection(
            weight: inputs.matrix(40 + 33 * index, 97, type),
            bias: index == 1 ? nil : inputs.vector([40 + 33 * index]),
            activation: index == 1 ? .geluTanh : nil)
        }
        return inputs.backend.linear(x, layers).enumerated().map {
          .activation("product \($0)", $1)
        }
      }
    }
  }

  /// Terms that are quantised in one way, in two, or not at all, and more of them than go at once.
  private static let quantizedSums = [1, 3, 9, 20, 40].flatMap { rows in
    [
      [DType.quantized(Quantization(.int8)), .quantized(Quantization(.int8))],
      [.quantized(Quantization(.int4)), .bfloat16, .quantized(Quantization(.int8))],
      Array(repeating: .quantized(Quantization(.int4, group: 256)), count: 6),
    ].map { types in
      OperationCase("addLinear of \(rows) rows: \(types)", .roundedRows, isQuantized: true) {
        inputs in
        let stream = inputs.activations([rows, 67])
        let terms = types.enumerated().map { index, type in
          let width = 96 + 257 * index
          return LinearTerm(
            inputs.activations([rows, width]),
            Projection(
              weight: inputs.matrix(67, width, type), bias: index == 1 ? nil : inputs.vector([67])))
        }
        return [.activation("y", inputs.backend.addLinear(stream, terms))]
      }
    }
  }

  private static let weightGradients = extents.map { extent in
    OperationCase(
      "linearWeightGradient [\(extent.rows), \(extent.outputs)], [\(extent.rows), \(extent.inputs)]",
      .sum
    ) { inputs in
      let dy = inputs.activations([extent.rows, extent.outputs])
      let x = inputs.activations([extent.rows, extent.inputs])
      return [.float32("dyᵀ x", inputs.backend.linearWeightGradient(dy, x))]
    }
  }

  /// Several layers at once: rows, what they read, and the widths they make.
  private static let together: [OperationCase] = [
    (0, [24, 48], [17, 5]), (1, [24, 48], [17, 5, 64, 9, 33]), (1, [128, 512], [128, 128, 512]),
    (1, [2560, 10240], [96, 65]), (1, [33], [7, 9]), (3, [256, 1024], [129, 40]),
    (4, [2600], [31]), (37, [80, 160], [65, 24]),
    (90, [600, 40], [67, 1030]),
  ].flatMap { rows, inputs, outputs in
    let name = "[\(rows)] rows, \(inputs) to \(outputs)"
    return [
      OperationCase("linear together, \(name)", .sum) { made in
        let x = made.rows([rows, inputs[0]], for: .bfloat16)
        let activations: [Activation?] = [nil, .geluTanh, .gelu, nil, .silu]
        let layers = outputs.enumerated().map { index, width in
          Projection(
            weight: made.matrix(width, inputs[0], index == 1 ? .float32 : .bfloat16),
            bias: index == 2 ? nil : made.vector([width]), activation: activations[index])
        }
        return made.backend.linear(x, layers).enumerated().map { .activation("y\($0)", $1) }
      },
      OperationCase("addLinear, \(name)", .sum) { made in
        let width = outputs[0]
        let stream = made.activations([rows, width])
        let terms = inputs.enumerated().map { index, columns in
          LinearTerm(
            made.rows([rows, columns], for: .bfloat16),
            Projection(
              weight: made.matrix(width, columns, .bfloat16),
              bias: index == 0 ? made.vector([width]) : nil))
        }
        return [.activation("y", made.backend.addLinear(stream, terms))]
      },
      OperationCase("linearInputGradient together, \(name)", .sum) { made in
        let terms = outputs.map { width in
          (dy: made.activations([rows, width]), weight: made.matrix(width, inputs[0], .bfloat16))
        }
        return [.activation("dx", made.backend.linearInputGradient(terms))]
      },
    ]
  }

  /// Of a width that fills 16 bytes in every type, and of one that does not.
  private static let throughActivations = [24, 37].flatMap { width in
    [Activation.gelu, .geluTanh, .silu].map { activation in
      OperationCase("linearInputGradient of \(width) through \(activation)", .sum) { inputs in
        let dy = inputs.activations([40, 16])
        let weight = inputs.matrix(16, width, .bfloat16)
        let x = inputs.activations([40, width])
        return [
          .activation(
            "dx", inputs.backend.linearInputGradient(dy, weight, through: activation, of: x))
        ]
      }
    }
  }

  /// A convolution's kernel is used as a matrix: all its dimensions but the first are columns.
  private static let patches = OperationCase("linear [9, 24] by [6, 2, 4, 3]", .sum) { inputs in
    let x = inputs.rows([9, 24], for: .bfloat16)
    let dy = inputs.activations([9, 6])
    let weight = inputs.matrix(6, 24, .bfloat16).reshaped([6, 2, 4, 3])
    return [
      .activation("x wᵀ", inputs.backend.linear(x, weight, nil)),
      .activation("dy w", inputs.backend.linearInputGradient(dy, weight)),
    ]
  }
}
