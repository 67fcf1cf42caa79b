/// The gate z, and x, B and C of the scan, convolved, and Δ, out of what `in_proj` of a mixer made.
///
/// x, B and C are silu(bias + Σ_k weight[c, k] · u[t − K + 1 + k, c]) of their columns u of `projected`,
/// zeros before each segment: a depthwise convolution, whose last tap is the row itself.
///
/// - Parameters:
///   - projected: [T, z | x | B | C | Δ]
///   - weight: float32 [x | B | C, 1, K]
///   - bias: float32 [x | B | C]
/// - Returns: z, x, B, C, Δ, each [T, its columns]
package func mixerParts(
  _ projected: Tensor, _ weight: Tensor, _ bias: Tensor, _ geometry: StateSpaceGeometry,
  _ segments: Segments
) -> [Tensor] {
  let saved = (projected.detached, weight.detached, bias.detached)
  let parts = projected.backend.mixerParts(
    projected, weight, bias, geometry, segments, tails: nil)
  return recordingOutputs("mixerParts", [projected, weight, bias], parts) { gradients in
    guard let backend = gradients.lazy.compactMap({ $0 }).first?.backend else {
      return [nil, nil, nil]
    }
    let gradient = backend.mixerPartsGradient(
      gradients, saved.0, saved.1, saved.2, geometry, segments)
    return [gradient.projected, gradient.weight, gradient.bias]
  }
}
