import MaTVLMTensor

extension OperationCase {
  static let rows: [OperationCase] =
    gathering + scattering + splitting + joining + summing

  private static let gathering = (DType.floatingPointTypes + DType.quantizedTypes).flatMap {
    dtype in
    [0, 1, 7, 40].map { count in
      OperationCase(
        "gatherRows \(count) of \(dtype)", .oneRounding, isQuantized: !dtype.isFloatingPoint
      ) { inputs in
        let table = inputs.matrix(11, 33, dtype)
        let rows = inputs.indices(count, below: 11)
        return [.activation("y", inputs.backend.gatherRows(table, rows))]
      }
    }
  }

  private static let scattering = [(0, 5), (1, 1), (7, 9), (40, 6)].map { count, rows in
    OperationCase("scatterAddRows \(count) into \(rows)", .sum) { inputs in
      let x = inputs.activations([count, 33])
      let places = inputs.indices(count, below: rows)
      return [.activation("y", inputs.backend.scatterAddRows(x, places, count: rows))]
    }
  }

  private static let columns = [[5, 1, 16, 3], [24, 24, 24, 24, 3], [1], [80, 80]]

  private static let splitting = columns.flatMap { widths in
    [0, 1, 7].map { count in
      OperationCase("splitColumns \(widths) of \(count) rows", .exact) { inputs in
        let x = inputs.activations([count, widths.reduce(0, +)])
        return inputs.backend.splitColumns(x, widths).enumerated().map {
          .activation("part \($0)", $1)
        }
      }
    }
  }

  private static let joining = columns.flatMap { widths in
    [0, 1, 7].flatMap { count in
      [[], [0], [1, 3]].filter { $0.count < widths.count }.map { missing in
        OperationCase("joinColumns \(widths) of \(count) rows without \(missing)", .exact) {
          inputs in
          let parts = widths.enumerated().map { index, width in
            missing.contains(index) ? nil : inputs.activations([count, width])
          }
          return [.activation("y", inputs.backend.joinColumns(parts, widths: widths))]
        }
      }
    }
  }

  private static let summing = [(0, 5), (1, 33), (37, 80), (300, 3), (5, 1037), (5000, 9)].map {
    count, width in
    OperationCase("sumRows [\(count), \(width)]", .sum) { inputs in
      [.float32("y", inputs.backend.sumRows(inputs.activations([count, width])))]
    }
  }
}
