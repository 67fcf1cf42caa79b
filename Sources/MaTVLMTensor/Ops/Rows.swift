/// Row `rows[t]` of the table for each t: token embeddings, positions, single rows of a result.
///
/// - Parameters:
///   - table: [R, D]
///   - rows: int32 [T], each in 0..<R.
/// - Returns: [T, D]
public func gatherRows(_ table: Tensor, _ rows: Tensor) -> Tensor {
  let count = table.shape.rows
  return table.backend.gatherRows(table, rows).recording("gatherRows", [table]) { dy in
    [dy.backend.scatterAddRows(dy, rows, count: count)]
  }
}

/// Zeros, plus row t of x added to row `rows[t]`: puts image tokens among text tokens.
///
/// - Parameters:
///   - x: [T, D]
///   - rows: int32 [T], each in 0..<count.
/// - Returns: [count, D]
public func scatterRows(_ x: Tensor, to rows: Tensor, count: Int) -> Tensor {
  x.backend.scatterAddRows(x, rows, count: count).recording("scatterRows", [x]) { dy in
    [dy.backend.gatherRows(dy, rows)]
  }
}

/// Cuts the columns of x [T, Σ widths] into one tensor [T, width] for each width.
public func splitColumns(_ x: Tensor, _ widths: [Int]) -> [Tensor] {
  recordingOutputs("splitColumns", [x], x.backend.splitColumns(x, widths)) { gradients in
    guard let present = gradients.lazy.compactMap({ $0 }).first else { return [nil] }
    return [present.backend.joinColumns(gradients, widths: widths)]
  }
}

/// Puts the columns of tensors [T, Dᵢ] side by side: [T, Σ Dᵢ].
/// - Precondition: there is at least one part, and all have as many rows.
public func joinColumns(_ parts: [Tensor]) -> Tensor {
  let widths = parts.map(\.shape.width)
  return parts[0].backend.joinColumns(parts, widths: widths).recording("joinColumns", parts) { dy in
    dy.backend.splitColumns(dy, widths)
  }
}
