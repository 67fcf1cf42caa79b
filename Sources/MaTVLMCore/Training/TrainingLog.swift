import Foundation
import MaTVLMTensor

/// `log.jsonl` of a run: one JSON object for each update, written as it happens; beside it
/// `evaluation.jsonl`, one for each evaluation.
public final class TrainingLog {
  private let updates: OutputFile
  private var evaluations: OutputFile?
  private let folder: URL

  /// One line of `log.jsonl`.
  private struct Line: Encodable {
    let step: Int
    let lr, layer, kl, ce, loss, gradientNorm, tokensPerSecond: Double
  }

  private struct EvaluationLine: Encodable {
    let step: Int
    let layer, kl, ce: Double
  }

  /// The files that a log consists of.
  public static let names = ["log.jsonl", "evaluation.jsonl"]

  /// Starts a log in an existing folder.
  /// - Throws: ``CheckpointError/unwritable(path:code:)``, as ``append(_:)``.
  public init(in folder: URL) throws {
    self.folder = folder
    updates = try OutputFile(folder.appendingPathComponent(Self.names[0]).path)
  }

  /// Writes a line; a skipped sample has none.
  public func append(_ event: TrainingEvent) throws {
    switch event {
    case .update(let update):
      try Self.write(
        Line(
          step: update.step, lr: update.learningRate, layer: update.losses.layer,
          kl: update.losses.kl, ce: update.losses.ce, loss: update.loss,
          gradientNorm: update.gradientNorm, tokensPerSecond: update.tokensPerSecond),
        to: updates)
    case .evaluation(let step, let losses):
      let file =
        try evaluations ?? OutputFile(folder.appendingPathComponent(Self.names[1]).path)
      evaluations = file
      try Self.write(
        EvaluationLine(step: step, layer: losses.layer, kl: losses.kl, ce: losses.ce), to: file)
    case .skipped: break
    }
  }

  private static func write(_ value: some Encodable, to file: OutputFile) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    let line = try encoder.encode(value) + Data("\n".utf8)
    try line.withUnsafeBytes(file.write)
  }
}
