/// y = x Wᵀ + b
///
/// - Parameters:
///   - x: [T, I]
///   - weight: [O, I], float32, bfloat16 or float16 as stored, or quantised; further dimensions count as columns.
///   - bias: float32 [O]
/// - Returns: [T, O]
public func linear(_ x: Tensor, _ weight: Tensor, bias: Tensor? = nil) -> Tensor {
  let y = x.backend.linear(x, weight, bias)
  let (needsX, needsBias) = (x.history != nil, bias?.history != nil)
  let frozen = weight.detached
  // A frozen weight keeps no activation alive.
  let savedX = weight.history != nil ? x.detached : nil
  return y.recording("linear", [x, weight, bias]) { dy in
    [
      needsX ? dy.backend.linearInputGradient(dy, frozen) : nil,
      savedX.map { dy.backend.linearWeightGradient(dy, $0).reshaped(frozen.shape) },
      needsBias ? dy.backend.sumRows(dy) : nil,
    ]
  }
}
