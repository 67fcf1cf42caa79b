import MaTVLMTensor

/// ‖student − teacher‖ of one replaced layer, each given the teacher's input (section 3.3, layer-wise
/// distillation).
///
/// The block's residual and MLP are the same on both sides and cancel, so the mixer's output is
/// compared with the attention's (specification F.2.4).
public struct LayerLoss: Sendable {
  /// Σ over sequences of weight / `sequences` · distance: one element, with history.
  public let total: Tensor
  /// Σ over sequences of the unweighted distance.
  public let sum: Double

  /// - Parameters:
  ///   - output: the mixer's [T, D].
  ///   - target: the attention's [T, D].
  ///   - sequences: sequences of the whole update, over which the loss is a mean.
  public init(
    _ output: Tensor, _ target: Tensor, _ segments: Segments, _ objective: DistillationObjective,
    sequences: Int
  ) {
    switch objective.reduction {
    case .authors:
      let weight = objective.layerWeight / Float(sequences)
      let weights = Array(repeating: weight, count: segments.count)
      let result = distance(
        output, to: target, segments, weights: Tensor(weights, [segments.count], on: output.device))
      total = result.total
      sum = result.norms.array().reduce(0) { $0 + Double($1) }
    case .tokenMean:
      let perToken = RowWeights.mean(segments)
      let weights = perToken.map { $0 * objective.layerWeight / Float(sequences) }
      let rows = Segments(repeating: 1, count: segments.rows)
      let result = distance(
        output, to: target, rows, weights: Tensor(weights, [segments.rows], on: output.device))
      total = result.total
      sum = zip(result.norms.array(), perToken).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
  }
}
