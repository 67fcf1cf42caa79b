import Foundation
import MaTVLMTensor

/// Bytes in use when most are, by what they are used for.
public struct MemoryPlan: Sendable, Hashable, Encodable {
  /// Weights that student and teacher share, the teacher's own, and vectors of these in float32.
  /// In mapped files on the CPU, where the system can drop their pages.
  public let frozenWeights: Int
  /// What trains.
  public let trainedWeights: Int
  public let gradients: Int
  public let moments: Int
  /// Of the backward pass.
  public let activations: Int
  /// Chunks of logits, and gradients of losses.
  public let losses: Int
  /// What operations need while they run, and what is kept to be used again.
  public let workingMemory: Int
  /// The program itself, its libraries, the tokenizer and the data; or the card's context.
  public let program: Int
  /// All of these.
  public let peak: Int
  /// Rows of the longest update that was counted.
  public let rows: Int
  /// What the run may take.
  public let available: Int
  /// Whether blocks are computed again for the gradient.
  public let recompute: Bool

  public var fits: Bool { peak <= available }

  /// - Parameters:
  ///   - program: bytes that are in use without any tensor.
  ///   - available: bytes that the run may take.
  public init(_ count: RunCount, program: Int, available: Int) {
    frozenWeights = count.peak[.frozen]
    trainedWeights = count.peak[.trained]
    gradients = count.peak[.gradients]
    moments = count.peak[.moments]
    activations = count.peak[.activations]
    losses = count.peak[.losses]
    workingMemory = count.peak[.working] + count.peak.kept
    self.program = program
    peak = count.peak.total + program
    rows = count.mostRows
    self.available = available
    recompute = count.configuration.recompute
  }

  /// Each use with its bytes, as people read them.
  public var parts: [(name: String, bytes: Int)] {
    [
      ("frozen weights", frozenWeights), ("weights that train", trainedWeights),
      ("gradients", gradients), ("AdamW's moments", moments), ("activations", activations),
      ("losses", losses), ("working memory", workingMemory), ("the program", program),
    ]
  }
}

/// A run takes more than there is.
public struct PlanError: Error, Sendable, CustomStringConvertible {
  public let description: String

  init(_ memory: MemoryPlan, suggestion: String?) {
    let largest = memory.parts.sorted { $0.bytes > $1.bytes }.prefix(3)
      .map { "\($0.name) \(gibibytes($0.bytes))" }.joined(separator: ", ")
    description =
      "the run needs \(gibibytes(memory.peak)) of memory and may take \(gibibytes(memory.available))"
      + " (\(largest)); "
      + (suggestion.map { "what would fit: \($0)" }
        ?? "no batch, length or recomputation makes it fit")
  }
}

func gibibytes(_ bytes: Int) -> String {
  bytes < 10 << 20
    ? String(format: "%.2f MiB", Double(bytes) / 0x1p20)
    : bytes < 10 << 30
      ? String(format: "%.0f MiB", Double(bytes) / 0x1p20)
      : String(format: "%.1f GiB", Double(bytes) / 0x1p30)
}
