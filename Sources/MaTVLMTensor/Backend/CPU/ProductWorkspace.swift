import CMaTVLMKernels

/// What products take from memory while they run, besides factors and result, in bytes: for plans of a run.
extension CPUBackend {
  /// What a product of many rows makes of both factors: of all of the left one, and of what each thread has in use
  /// of the right one.
  /// - Parameter rounds: as of ``form(of:width:for:rounds:)``.
  func productWorkspace(rows: Int, _ weight: Tensor, isTurned: Bool, rounds: Bool, threads: Int)
    -> Int
  {
    guard !isFew(rows) else { return 0 }
    let (outputs, inputs) = (weight.shape.rows, weight.shape.width)
    let (depth, columns) = isTurned ? (inputs, outputs) : (outputs, inputs)
    let pieces = threads * Self.pieceBytes
    return switch form(of: rows, width: depth, for: weight.dtype, rounds: rounds) {
    case .split:
      Self.splitBytes(lines: rows, depth: depth)
        + threads * Self.splitPieceBytes(min(columns, Self.splitTile.columns), depth)
    case .rounded: rows * depth * DType.bfloat16.byteCount + pieces
    case .asTheyAre: weight.dtype == .float32 ? 0 : pieces
    }
  }

  /// The same for dyᵀ x, of `rows` rows.
  func weightGradientWorkspace(rows: Int, outputs: Int, inputs: Int, threads: Int) -> Int {
    let pieces = Self.gradientPieces(rows: rows, outputs: outputs, inputs: inputs)
    let sums = pieces > 1 ? pieces * outputs * inputs * DType.float32.byteCount : 0
    guard splitKernel(.float32) != nil else { return sums }
    return sums + Self.splitBytes(lines: outputs, depth: rows)
      + threads * Self.splitPieceBytes(min(inputs, Self.gradientTile.columns), rows)
  }

  /// What a thread unpacks or turns of its factors at a time, at most.
  private static let pieceBytes = 1 << 20

  private static func splitBytes(lines: Int, depth: Int) -> Int {
    matvlm_factor_size(lines, depth) * DType.float32.byteCount
  }

  private static func splitPieceBytes(_ columns: Int, _ depth: Int) -> Int {
    matvlm_split_scratch(columns, depth) * DType.float32.byteCount
  }
}
