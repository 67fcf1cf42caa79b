import MaTVLMDistillation

/// What a run reports.
public enum TrainingEvent: Sendable {
  case update(TrainingUpdate)
  /// Unweighted losses on held-out samples after this many updates.
  case evaluation(step: Int, LossMeans)
  /// A sample that could not be used.
  case skipped(SampleError)
}

/// Unweighted losses, each a mean over sequences.
public struct LossMeans: Sendable, Hashable, Codable {
  /// Σ over the replaced layers of the distance between mixer and attention.
  public let layer: Double
  /// The divergence from the teacher's distributions, whichever it is; nil where the student was not
  /// run as a whole, because its layers learn each by itself.
  public let kl: Double?
  /// The cross-entropy of the answers' tokens; nil as above.
  public let ce: Double?
  /// Which part of the answers' tokens the model finds the most likely, each after the true ones
  /// before it; known of evaluations only.
  public let accuracy: Double?
}

/// One update of the parameters.
public struct TrainingUpdate: Sendable {
  /// From 1.
  public let step: Int
  /// The rate that was used.
  public let learningRate: Double
  public let losses: LossMeans
  public let objective: DistillationObjective
  /// Before clipping.
  public let gradientNorm: Double
  /// Rows of all sequences, image tokens counted in.
  public let rows: Int
  public let seconds: Double
  /// What is far out of the ordinary in this update.
  public let outlier: Outlier?
  /// The stage's name; nil in a run without stages.
  public let stage: String?

  /// The weighted sum of the losses: what the update makes smaller.
  public var loss: Double { objective.weighted(losses) }

  public var tokensPerSecond: Double { Double(rows) / max(seconds, 1e-9) }
}

extension LossSums {
  /// - Parameter isWhole: whether the student was run as a whole.
  func mean(over sequences: Int, isWhole: Bool = true) -> LossMeans {
    let count = Double(sequences)
    return LossMeans(
      layer: layer / count, kl: isWhole ? logits / count : nil,
      ce: isWhole ? labels / count : nil,
      accuracy: answerTokens > 0 ? Double(rightTokens) / Double(answerTokens) : nil)
  }
}

extension DistillationObjective {
  /// The weighted sum of unweighted losses.
  func weighted(_ losses: LossMeans) -> Double {
    Double(layerWeight) * losses.layer + Double(logitWeight) * (losses.kl ?? 0)
      + Double(labelWeight) * (losses.ce ?? 0)
  }
}
