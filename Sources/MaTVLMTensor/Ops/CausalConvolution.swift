/// silu(bias + Σ_k weight[c, k] · x[t − K + 1 + k, c]), zeros before each segment: the depthwise
/// convolution of a Mamba-2 mixer; the last tap is the row itself.
///
/// - Parameters:
///   - x: [T, C]
///   - weight: float32 [C, 1, K]
///   - bias: float32 [C]
/// - Returns: [T, C]
package func causalConvolution(
  _ x: Tensor, _ weight: Tensor, _ bias: Tensor, _ segments: Segments
) -> Tensor {
  let (savedX, savedWeight, savedBias) = (x.detached, weight.detached, bias.detached)
  return x.backend.causalConvolution(x, weight, bias, segments, tails: nil)
    .recording("causalConvolution", [x, weight, bias]) { dy in
      let gradient = dy.backend.causalConvolutionGradient(
        dy, savedX, savedWeight, savedBias, segments)
      return [gradient.x, gradient.weight, gradient.bias]
    }
}
