import MaTVLMTensor

/// The losses over the vocabulary: distance from the teacher's distributions, and cross-entropy of
/// the answers' tokens.
public struct LogitLoss: Sendable {
  /// Both, weighted, as a mean over `sequences`: one element, with history. Its gradient is that of
  /// the sums below; the distance between logits enters its value by half.
  public let total: Tensor
  /// Σ over sequences of the unweighted divergence.
  public let divergenceSum: Double
  /// Σ over sequences of the unweighted mean cross-entropy of their labels; a sequence without
  /// labels counts 0.
  public let labelSum: Double

  /// - Parameters:
  ///   - student: final rows and head.
  ///   - teacher: the same of the teacher; nil: labels only.
  ///   - labels: for each row the token that follows it, negative for none.
  ///   - sequences: sequences of the whole update, over which the loss is a mean.
  package init(
    _ student: VocabularyHead, teacher: VocabularyHead?, labels: [Int], _ segments: Segments,
    _ objective: DistillationObjective, sequences: Int
  ) {
    let device = student.rows.device
    let perLabel = RowWeights.labels(labels, segments)
    var request = VocabularyLossRequest()
    request.divergence = objective.divergence
    request.temperature = objective.temperature
    request.labels = Tensor(indices: labels, on: device)
    request.labelWeights = device.weights(perLabel, times: objective.labelWeight, sequences)

    let perRow: [Float]
    if teacher != nil {
      perRow = Self.divergenceWeights(student, teacher, segments, objective)
      request.divergenceWeights = device.weights(perRow, times: objective.logitWeight, sequences)
    } else {
      perRow = []
    }
    let result = vocabularyLoss(student, teacher: teacher, request)
    total = result.total
    labelSum = Self.weightedSum(result.labelLoss, perLabel)
    // Each row of the distance between logits is ½ d² weighted by 1/norm: half of the norm.
    let factor = objective.divergence == .logitDistance ? 2.0 : 1.0
    divergenceSum = factor * Self.weightedSum(result.divergence, perRow)
  }

  /// The weight of each row's divergence within its sequence.
  private static func divergenceWeights(
    _ student: VocabularyHead, _ teacher: VocabularyHead?, _ segments: Segments,
    _ objective: DistillationObjective
  ) -> [Float] {
    switch (objective.divergence, objective.reduction) {
    case (.logitDistance, let reduction):
      return reciprocalNorms(student, teacher, segments, reduction)
    case (.teacherArgmax, _), (_, .tokenMean):
      return RowWeights.mean(segments)
    case (_, .authors):
      return Array(repeating: 1, count: segments.rows)
    }
  }

  /// The gradient of a norm is the difference over the norm, so the norms are needed before the walk
  /// that takes gradients: one more walk, for this divergence only.
  private static func reciprocalNorms(
    _ student: VocabularyHead, _ teacher: VocabularyHead?, _ segments: Segments,
    _ reduction: DistillationObjective.Reduction
  ) -> [Float] {
    let frozen = VocabularyHead(
      rows: student.rows.detached, weight: student.weight.detached, bias: student.bias?.detached)
    var request = VocabularyLossRequest()
    request.divergence = .logitDistance
    request.divergenceWeights = .zeros([segments.rows], on: student.rows.device)
    let result = withoutGradients { vocabularyLoss(frozen, teacher: teacher, request) }
    let halves = result.divergence?.array() ?? []
    func reciprocal(_ squared: Double) -> Float {
      squared > 0 ? Float(1 / squared.squareRoot()) : 0
    }
    switch reduction {
    case .authors:
      return zip(segments.starts, segments.lengths).flatMap { start, length in
        let squared = halves[start..<start + length].reduce(0) { $0 + 2 * Double($1) }
        return Array(repeating: reciprocal(squared), count: length)
      }
    case .tokenMean:
      return zip(halves, RowWeights.mean(segments)).map { reciprocal(2 * Double($0)) * $1 }
    }
  }

  private static func weightedSum(_ values: Tensor?, _ weights: [Float]) -> Double {
    zip(values?.array() ?? [], weights).reduce(0) { $0 + Double($1.0) * Double($1.1) }
  }
}

extension Device {
  fileprivate func weights(_ perRow: [Float], times weight: Float, _ sequences: Int) -> Tensor {
    Tensor(perRow.map { $0 * weight / Float(sequences) }, [perRow.count], on: self)
  }
}
