import Foundation

/// `log.jsonl` of a run: one JSON object for each update, written as it happens; beside it
/// `evaluation.jsonl`, one for each evaluation.
public final class TrainingLog {
  private let updates: FileHandle
  private let folder: URL

  /// One line of `log.jsonl`.
  private struct Line: Encodable {
    let step: Int
    let lr, layer, kl, ce, loss, gradient_norm, tokens_per_second: Double
  }

  private struct EvaluationLine: Encodable {
    let step: Int
    let layer, kl, ce: Double
  }

  /// The files that a log consists of.
  public static let names = ["log.jsonl", "evaluation.jsonl"]

  /// Starts a log in an existing folder.
  /// - Throws: when the folder cannot be written.
  public init(in folder: URL) throws {
    self.folder = folder
    updates = try Self.create(folder.appendingPathComponent(Self.names[0]))
  }

  public func append(_ event: TrainingEvent) throws {
    switch event {
    case .update(let update):
      try updates.write(
        contentsOf: Self.line(
          Line(
            step: update.step, lr: update.learningRate, layer: update.losses.layer,
            kl: update.losses.kl, ce: update.losses.ce, loss: update.loss,
            gradient_norm: update.gradientNorm, tokens_per_second: update.tokensPerSecond)))
    case .evaluation(let step, let losses):
      let file = folder.appendingPathComponent(Self.names[1])
      let handle =
        try FileManager.default.fileExists(atPath: file.path)
        ? FileHandle(forWritingTo: file) : Self.create(file)
      defer { try? handle.close() }
      try handle.seekToEnd()
      try handle.write(
        contentsOf: Self.line(
          EvaluationLine(step: step, layer: losses.layer, kl: losses.kl, ce: losses.ce)))
    case .skipped: break
    }
  }

  private static func create(_ file: URL) throws -> FileHandle {
    try Data().write(to: file)
    return try FileHandle(forWritingTo: file)
  }

  private static func line(_ value: some Encodable) throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    return try encoder.encode(value) + Data("\n".utf8)
  }
}
