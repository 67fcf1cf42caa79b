/// What products make of their rows before they multiply them.
enum RowForm {
  case asTheyAre
  /// To bfloat16, for processors that multiply it.
  case rounded
  /// As sums of bfloat16, for processors that multiply tiles of it.
  case split
}

/// Rows of a left factor, and what products make of them: once for all products of the same rows.
struct PreparedRows: Sendable {
  let rows: FloatRows
  /// bfloat16 [T, inputs]
  let rounded: Tensor?
  private let split: SplitFactor?

  /// - Parameters:
  ///   - weights: what the rows will be multiplied with.
  ///   - rounds: whether they may be rounded where the user allows it, as in layers and not in their gradients.
  init(_ rows: FloatRows, for weights: [Tensor], rounds: Bool = true, on backend: CPUBackend) {
    let forms = weights.map {
      backend.form(of: rows.count, width: rows.width, for: $0.dtype, rounds: rounds)
    }
    self.rows = rows
    rounded = forms.contains(.rounded) ? rows.rounded(on: backend) : nil
    split = forms.contains(.split) ? SplitFactor(rows, on: backend) : nil
  }

  /// The rows as a product with this weight takes them, if it takes them split.
  func split(for weight: Tensor) -> SplitFactor? {
    weight.dtype == .bfloat16 && rounded != nil ? nil : split
  }
}

extension CPUBackend {
  /// What so many rows become for products with weights of a type.
  /// - Parameter rounds: whether they may be rounded where the user allows it.
  func form(of rows: Int, width: Int, for type: DType, rounds: Bool) -> RowForm {
    if rounds && roundsRows && type == .bfloat16 && width % 2 == 0 { return .rounded }
    return !isFew(rows) && splitKernel(type) != nil ? .split : .asTheyAre
  }
}

extension FloatRows {
  fileprivate func rounded(on backend: CPUBackend) -> Tensor {
    let y = Tensor(uninitialized: [count, width], .bfloat16, on: backend)
    backend.parallel(count * width, grain: CPUBackend.elementGrain) { range in
      backend.kernels.elementwise.float_to_bf16(
        row(0) + range.lowerBound, y.halves + range.lowerBound, Int64(range.count))
    }
    return y
  }
}
