/// softmax(scale · q kᵀ) v within each segment, computed by tiles without the matrix of scores
/// (Dao et al. 2022, arXiv:2205.14135); scores, maxima and sums are float32.
///
/// - Parameters:
///   - q: [T, H · P]
///   - k: [T, G · P]
///   - v: [T, G · P]
/// - Returns: [T, H · P]
package func attention(
  _ q: Tensor, _ k: Tensor, _ v: Tensor, _ geometry: AttentionGeometry, _ segments: Segments
) -> Tensor {
  let (output, logSumExp) = q.backend.attention(q, k, v, geometry, segments)
  let (savedQ, savedK, savedV) = (q.detached, k.detached, v.detached)
  return output.recording("attention", [q, k, v]) { dy in
    let gradient = dy.backend.attentionGradient(
      dy, savedQ, savedK, savedV, output: output, logSumExp: logSumExp, geometry, segments)
    return [gradient.q, gradient.k, gradient.v]
  }
}
