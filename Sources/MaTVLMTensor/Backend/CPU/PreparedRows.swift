/// What products make of their rows before they multiply them.
enum RowForm {
  case asTheyAre
  /// To bfloat16, for processors that multiply it.
  case rounded
  /// The same in tiles, for processors that multiply those.
  case roundedTiles
  /// Tiles of sums of bfloat16, for the same processors.
  case splitTiles
}

/// Rows of a left factor, and what products make of them: once for all products of the same rows.
struct PreparedRows: Sendable {
  let rows: FloatRows
  /// bfloat16 [T, inputs]
  let rounded: Tensor?
  private let roundedTiles: TileFactor?
  private let splitTiles: TileFactor?

  /// - Parameters:
  ///   - weights: what the rows will be multiplied with.
  ///   - rounds: whether they may be rounded where the user allows it, as in layers and not in their gradients.
  init(_ rows: FloatRows, for weights: [Tensor], rounds: Bool = true, on backend: CPUBackend) {
    let forms = weights.map {
      backend.form(of: rows.count, width: rows.width, for: $0.dtype, rounds: rounds)
    }
    self.rows = rows
    rounded = forms.contains(.rounded) ? rows.rounded(on: backend) : nil
    roundedTiles = forms.contains(.roundedTiles) ? TileFactor(rounding: rows, on: backend) : nil
    splitTiles = forms.contains(.splitTiles) ? TileFactor(splitting: rows, on: backend) : nil
  }

  /// The rows as a product with this weight takes them, if it takes them in tiles.
  func tiles(for weight: Tensor) -> TileFactor? {
    weight.dtype == .bfloat16 ? roundedTiles ?? splitTiles : splitTiles
  }
}

extension CPUBackend {
  /// What so many rows become for products with weights of a type.
  /// - Parameter rounds: whether they may be rounded where the user allows it.
  func form(of rows: Int, width: Int, for type: DType, rounds: Bool) -> RowForm {
    let rounds = rounds && roundsRows && type == .bfloat16 && width % 2 == 0
    if isFew(rows) || tileKernel(type, isRounded: rounds) == nil {
      return rounds ? .rounded : .asTheyAre
    }
    return rounds ? .roundedTiles : .splitTiles
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
