/// Rows of a left factor, and what products make of them before they multiply: once for all products of the
/// same rows.
struct PreparedRows: Sendable {
  let x: FloatRows
  /// bfloat16 [T, inputs]: x rounded, for processors that multiply bfloat16.
  let rounded: Tensor?
  /// x as sums of bfloat16, for processors that multiply tiles of them.
  private let split: SplitFactor?

  /// - Parameters:
  ///   - weights: what x will be multiplied with.
  ///   - rounds: whether x may be rounded where the user allows it, as in layers and not in their gradients.
  init(_ x: FloatRows, for weights: [Tensor], rounds: Bool = true, on backend: CPUBackend) {
    self.x = x
    let isRounded =
      rounds && backend.roundsRows && x.width % 2 == 0
      && weights.contains { $0.dtype == .bfloat16 }
    rounded = isRounded ? x.rounded(on: backend) : nil
    let isSplit = weights.contains {
      Self.areSplit(x.count, for: $0.dtype, on: backend) && !(isRounded && $0.dtype == .bfloat16)
    }
    split = isSplit ? SplitFactor(x, on: backend) : nil
  }

  /// Whether that many rows are split for weights of a type where they are not rounded.
  static func areSplit(_ rows: Int, for type: DType, on backend: CPUBackend) -> Bool {
    !backend.isFew(rows) && backend.splitKernel(type) != nil
  }

  /// The rows as a product with this weight takes them, if it takes them split.
  func split(for weight: Tensor) -> SplitFactor? {
    weight.dtype == .bfloat16 && rounded != nil ? nil : split
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
