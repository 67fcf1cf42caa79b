/// The Euclidean distance of two results, segment by segment.
package struct Distance: Sendable {
  /// Σ over segments of weight · ‖x − target‖: one element, with history.
  package let total: Tensor
  /// float32 [S]: ‖x − target‖ of each segment, unweighted.
  package let norms: Tensor
}

/// Σ weights[s] · ‖x − target‖ over the rows of each segment: not squared, not averaged.
///
/// - Parameters:
///   - x: [T, D]
///   - target: [T, D]; nothing flows back into it.
///   - weights: float32 [S]
package func distance(
  _ x: Tensor, to target: Tensor, _ segments: Segments, weights: Tensor
) -> Distance {
  let backend = x.backend
  let (norms, gradient) = backend.distance(x, target, segments, weights: weights)
  let weighted = backend.multiply(norms, weights).reshaped([norms.shape.count, 1])
  let total = backend.sumRows(weighted).recording("distance", [x]) { dy in
    let seed = dy.item()
    return [seed == 1 ? gradient : backend.scale(gradient, by: seed)]
  }
  return Distance(total: total, norms: norms)
}

/// Σ weights[s] · ‖x − target‖² over the rows of each segment.
///
/// - Parameters:
///   - x: [T, D]
///   - target: [T, D]; nothing flows back into it.
///   - weights: float32 [S]
/// - Returns: the sum with its history, and the norms, which are not squared.
package func squaredDistance(
  _ x: Tensor, to target: Tensor, _ segments: Segments, weights: Tensor
) -> Distance {
  let norms = x.backend.distance(x.detached, target.detached, segments, weights: weights).norms
  // The slope of w ‖d‖² is 2 w ‖d‖ times that of ‖d‖.
  let slopes = norms * weights
  let half = distance(x, to: target, segments, weights: slopes)
  let total = half.total.detached.recording("squaredDistance", [half.total]) { [$0 * 2] }
  return Distance(total: total, norms: norms)
}
