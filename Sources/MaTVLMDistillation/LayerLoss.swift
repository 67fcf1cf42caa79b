import MaTVLMTensor

/// How far one replaced layer is from its attention, each given the teacher's input (section 3.3,
/// layer-wise distillation).
///
/// The block's residual and MLP are the same on both sides and cancel, so the mixer's output is
/// compared with the attention's (specification F.2.4).
public struct LayerLoss: Sendable {
  /// Σ over sequences of weight / `sequences` · distance: one element, with history.
  public let total: Tensor
  /// Σ over sequences of the unweighted distance.
  public let sum: Double

  /// Compares rows, as ``DistillationObjective/LayerComparison/output`` or, of what the output
  /// projections take, as ``DistillationObjective/LayerComparison/heads``.
  ///
  /// - Parameters:
  ///   - output: the mixer's [T, D].
  ///   - target: the attention's [T, D].
  ///   - sequences: sequences of the whole update, over which the loss is a mean.
  public init(
    _ output: Tensor, _ target: Tensor, _ segments: Segments, _ objective: DistillationObjective,
    sequences: Int
  ) {
    let weight = objective.layerWeight / Float(sequences)
    switch (objective.layerComparison, objective.reduction) {
    case (.heads, _):
      let perElement = segments.lengths.map { 1 / Float(max(1, $0 * output.shape.width)) }
      let weights = perElement.map { $0 * weight }
      let result = squaredDistance(
        output, to: target, segments, weights: Tensor(weights, [segments.count], on: output.device))
      total = result.total
      sum = zip(result.norms.array(), perElement).reduce(0) {
        $0 + Double($1.0) * Double($1.0) * Double($1.1)
      }
    case (_, .authors):
      let weights = Array(repeating: weight, count: segments.count)
      let result = distance(
        output, to: target, segments, weights: Tensor(weights, [segments.count], on: output.device))
      total = result.total
      sum = result.norms.array().reduce(0) { $0 + Double($1) }
    case (_, .tokenMean):
      let perToken = RowWeights.mean(segments)
      let weights = perToken.map { $0 * objective.layerWeight / Float(sequences) }
      let rows = Segments(repeating: 1, count: segments.rows)
      let result = distance(
        output, to: target, rows, weights: Tensor(weights, [segments.rows], on: output.device))
      total = result.total
      sum = zip(result.norms.array(), perToken).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
  }

  /// Compares how rows are mixed, as ``DistillationObjective/LayerComparison/matrix``.
  package init(
    _ scan: ScanMatrices, _ attention: AttentionMatrices, _ segments: Segments,
    _ objective: DistillationObjective, sequences: Int
  ) {
    let distance = matrixDistance(scan, attention, segments)
    sum = Double(distance.item())
    total = distance * (objective.layerWeight / Float(sequences))
  }
}
