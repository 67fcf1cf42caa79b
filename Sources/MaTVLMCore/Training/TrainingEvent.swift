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
  /// The divergence from the teacher's distributions, whichever it is.
  public let kl: Double
  /// The cross-entropy of the answers' tokens.
  public let ce: Double
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

  /// The weighted sum of the losses: what the update makes smaller.
  public var loss: Double { objective.weighted(losses) }

  public var tokensPerSecond: Double { Double(rows) / max(seconds, 1e-9) }
}

/// Why a run cannot go on.
public enum TrainingError: Error, Sendable, Hashable, CustomStringConvertible {
  case notFinite(step: Int, samples: [String])

  public var description: String {
    switch self {
    case .notFinite(let step, let samples):
      "update \(step): a loss or gradient is not finite"
        + (samples.isEmpty ? "" : " (samples \(samples.joined(separator: ", ")))")
        + "; lower the learning rate or look at these samples"
    }
  }
}

extension LossSums {
  var isFinite: Bool { layer.isFinite && logits.isFinite && labels.isFinite }

  func mean(over sequences: Int) -> LossMeans {
    let count = Double(sequences)
    return LossMeans(layer: layer / count, kl: logits / count, ce: labels / count)
  }
}

extension DistillationObjective {
  /// The weighted sum of unweighted losses.
  func weighted(_ losses: LossMeans) -> Double {
    Double(layerWeight) * losses.layer + Double(logitWeight) * losses.kl
      + Double(labelWeight) * losses.ce
  }
}
