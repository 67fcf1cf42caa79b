import MaTVLMTensor

extension ReferenceBackend {
  package func linear(_ x: Tensor, _ weight: Tensor, _ bias: Tensor?) -> Tensor {
    let (rows, outputs, inputs) = (x.shape.rows, weight.shape.rows, weight.shape.width)
    let source = floats(x, [rows, inputs], "linear: x")
    let matrix = weights(weight, outputs, inputs, "linear: weight")
    let offset = bias.map { floats($0, [outputs], "linear: bias") }
    var result = Grid(zeros: rows, outputs)
    for row in 0..<rows {
      for output in 0..<outputs {
        var sum = offset?[output] ?? 0
        for input in 0..<inputs { sum += source[row, input] * matrix[output, input] }
        result[row, output] = sum
      }
    }
    return tensor(result, [rows, outputs])
  }

  package func linearInputGradient(_ dy: Tensor, _ weight: Tensor) -> Tensor {
    let (rows, outputs, inputs) = (dy.shape.rows, weight.shape.rows, weight.shape.width)
    let upstream = floats(dy, [rows, outputs], "linearInputGradient: dy")
    let matrix = weights(weight, outputs, inputs, "linearInputGradient: weight")
    var result = Grid(zeros: rows, inputs)
    for row in 0..<rows {
      for output in 0..<outputs {
        for input in 0..<inputs {
          result[row, input] += upstream[row, output] * matrix[output, input]
        }
      }
    }
    return tensor(result, [rows, inputs])
  }

  package func linearWeightGradient(_ dy: Tensor, _ x: Tensor) -> Tensor {
    let (rows, outputs, inputs) = (dy.shape.rows, dy.shape.width, x.shape.width)
    let upstream = floats(dy, [rows, outputs], "linearWeightGradient: dy")
    let source = floats(x, [rows, inputs], "linearWeightGradient: x")
    var result = Grid(zeros: outputs, inputs)
    for row in 0..<rows {
      for output in 0..<outputs {
        for input in 0..<inputs {
          result[output, input] += upstream[row, output] * source[row, input]
        }
      }
    }
    return tensor(result, [outputs, inputs])
  }
}
