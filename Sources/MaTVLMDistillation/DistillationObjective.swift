import MaTVLMTensor

/// What distillation minimises, per sequence (MaTVLM, arXiv:2503.13440, section 3.3):
/// layerWeight · Σ ‖mixer − attention‖ + logitWeight · divergence + labelWeight · cross-entropy.
public struct DistillationObjective: Codable, Sendable, Hashable {
  /// How the rows of a sequence count.
  public enum Reduction: String, Codable, Sendable, Hashable, CaseIterable {
    /// The authors' code with one sequence per process: divergences and squared differences are
    /// summed over all rows; the teacher's argmax is averaged.
    case authors
    /// The mean over the sequence's rows, so that long sequences count as much as short ones.
    case tokenMean = "token-mean"
  }

  /// What of a replaced layer is compared with its attention, both given the teacher's input.
  public enum LayerComparison: String, Codable, Sendable, Hashable, CaseIterable {
    /// ‖mixer − attention‖ of what they add to the stream: the paper's, and with `token-mean`
    /// MOHAWK's second stage.
    case output
    /// The mean square of the difference of what the output projections take, the heads side by
    /// side, whatever the reduction: mmMamba's first two stages (arXiv:2502.13145).
    case heads
    /// The mean over heads of the Frobenius distance between the matrices that mix the rows of a
    /// sequence, whatever the reduction: MOHAWK's first stage (arXiv:2408.10189, section 4.1).
    case matrix
  }

  /// α, of the replaced layers' distances.
  public var layerWeight: Float = 1
  /// What these are distances of.
  public var layerComparison = LayerComparison.output
  /// β, of the divergence between the distributions of student and teacher.
  public var logitWeight: Float = 1
  /// γ, of the cross-entropy of the answers' tokens; the paper leaves it out.
  public var labelWeight: Float = 0
  public var temperature: Float = 1
  public var divergence = Divergence.forward
  public var reduction = Reduction.authors

  public init() {}

  /// Whether the replaced layers learn each by itself, and the student is never run as a whole.
  public var isLayerLocal: Bool { logitWeight == 0 && labelWeight == 0 }
}

/// What one group of sequences lost: sums over its sequences, unweighted.
public struct LossSums: Sendable, Hashable, Codable {
  public var layer: Double = 0
  public var logits: Double = 0
  public var labels: Double = 0
  /// Tokens of answers, where they were counted, and how many of them came out as the most likely.
  public var answerTokens = 0
  public var rightTokens = 0

  public init() {}

  public static func += (a: inout LossSums, b: LossSums) {
    a.layer += b.layer
    a.logits += b.logits
    a.labels += b.labels
    a.answerTokens += b.answerTokens
    a.rightTokens += b.rightTokens
  }
}
