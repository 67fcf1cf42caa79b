import MaTVLMTensor

extension OperationCase {
  static let products: [OperationCase] =
    weighted + quantized + together + weightGradients + [patches]

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
    Extent(rows: 3000, inputs: 20, outputs: 9),
  ]

  private static let weighted = extents.flatMap { extent in
    DType.floatingPointTypes.map { dtype in
      let shape = "[\(extent.rows), \(extent.inputs)] by [\(extent.outputs), \(extent.inputs)]"
      return OperationCase("linear \(shape) \(dtype)", .sum) { inputs in
        let x = inputs.activations([extent.rows, extent.inputs])
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

  private static let together = [1, 5, 70].flatMap { rows in
    [
      [DType.bfloat16, .bfloat16, .bfloat16], [.float32, .float16],
      [.quantized(Quantization(.int8)), .quantized(Quantization(.int8))],
      [.quantized(Quantization(.int4)), .float32],
    ].map { types in
      OperationCase(
        "linears of \(rows) rows by \(types)", .roundedRows,
        isQuantized: !types.allSatisfy(\.isFloatingPoint)
      ) { inputs in
        let x = inputs.activations([rows, 97])
        let weights = types.enumerated().map { index, type in
          (
            weight: inputs.matrix(40 + 33 * index, 97, type),
            bias: index == 1 ? nil : inputs.vector([40 + 33 * index])
          )
        }
        return inputs.backend.linears(x, weights).enumerated().map {
          .activation("product \($0)", $1)
        }
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

  /// A convolution's kernel is used as a matrix: all its dimensions but the first are columns.
  private static let patches = OperationCase("linear [9, 24] by [6, 2, 4, 3]", .sum) { inputs in
    let x = inputs.activations([9, 24])
    let dy = inputs.activations([9, 6])
    let weight = inputs.matrix(6, 24, .bfloat16).reshaped([6, 2, 4, 3])
    return [
      .activation("x wᵀ", inputs.backend.linear(x, weight, nil)),
      .activation("dy w", inputs.backend.linearInputGradient(dy, weight)),
    ]
  }
}
