/// Per row of x: (x − mean) / √(variance + ε) ⊙ weight + bias (Ba et al. 2016, arXiv:1607.06450).
///
/// - Parameters:
///   - x: [T, D]
///   - weight: float32 [D]
///   - bias: float32 [D]
/// - Returns: [T, D]
public func layerNorm(_ x: Tensor, _ weight: Tensor, _ bias: Tensor, epsilon: Float) -> Tensor {
  let (savedX, savedWeight) = (x.detached, weight.detached)
  let wantsParameters = weight.history != nil || bias.history != nil
  return x.backend.layerNorm(x, weight, bias, epsilon: epsilon)
    .recording("layerNorm", [x, weight, bias]) { dy in
      let gradient = dy.backend.layerNormGradient(
        dy, savedX, savedWeight, epsilon: epsilon, parameters: wantsParameters)
      return [gradient.x, gradient.weight, gradient.bias]
    }
}

/// g = x ⊙ silu(gate), then per group of columns g / √(mean(g²) + ε) ⊙ weight: the gate comes
/// before the norm (MaTVLM's Mamba-2 mixer, `norm_before_gate` false).
///
/// - Parameters:
///   - x: [T, D]
///   - gate: [T, D]
///   - weight: float32 [D]
///   - groupWidth: columns that are normalised together; divides D.
/// - Returns: [T, D]
public func gatedRMSNorm(
  _ x: Tensor, gate: Tensor, _ weight: Tensor, groupWidth: Int, epsilon: Float
) -> Tensor {
  let (savedX, savedGate, savedWeight) = (x.detached, gate.detached, weight.detached)
  return x.backend.gatedRMSNorm(x, gate: gate, weight, groupWidth: groupWidth, epsilon: epsilon)
    .recording("gatedRMSNorm", [x, gate, weight]) { dy in
      let gradient = dy.backend.gatedRMSNormGradient(
        dy, savedX, gate: savedGate, savedWeight, groupWidth: groupWidth, epsilon: epsilon)
      return [gradient.x, gradient.gate, gradient.weight]
    }
}
