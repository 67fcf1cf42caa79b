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
    let form = form(of: rows, width: depth, for: weight.dtype, rounds: rounds)
    return switch form {
    case .splitTiles, .roundedTiles:
      TileFactor.byteCount(lines: rows, depth: depth, isRounded: form == .roundedTiles)
        + threads * Self.tileBytes(rows, columns, depth, most: Self.tiledPart)
    case .rounded: rows * depth * DType.bfloat16.byteCount + pieces
    case .asTheyAre: weight.dtype == .float32 ? 0 : pieces
    }
  }

  /// The same for dyᵀ x, of `rows` rows.
  func weightGradientWorkspace(rows: Int, outputs: Int, inputs: Int, threads: Int) -> Int {
    let pieces = Self.gradientPieces(rows: rows, outputs: outputs, inputs: inputs)
    let sums = pieces > 1 ? pieces * outputs * inputs * DType.float32.byteCount : 0
    guard tileKernel(.float32, isRounded: false) != nil else { return sums }
    return sums + TileFactor.byteCount(lines: outputs, depth: rows, isRounded: false)
      + threads * Self.tileBytes(outputs, inputs, rows, most: Self.gradientTile)
  }

  /// What a thread unpacks or turns of its factors at a time, at most.
  private static let pieceBytes = 1 << 20

  /// What a thread has in use for a part of a product of tiles.
  private static func tileBytes(
    _ rows: Int, _ columns: Int, _ depth: Int, most: (rows: Int, columns: Int)
  ) -> Int {
    matvlm_tiles_scratch(min(rows, most.rows), min(columns, most.columns), depth)
      * DType.float32.byteCount
  }
}
