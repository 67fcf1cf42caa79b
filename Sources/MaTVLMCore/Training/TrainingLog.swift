import Foundation
import MaTVLMTensor

/// `log.jsonl` of a run: one JSON object for each update, written as it happens; beside it
/// `evaluation.jsonl`, one for each evaluation.
public final class TrainingLog {
  private let folder: URL
  private var files: [String: OutputFile] = [:]

  /// One line of `log.jsonl`.
  private struct Line: Encodable {
    let step: Int
    let lr, layer, kl, ce, loss, gradientNorm, tokensPerSecond: Double
  }

  private struct EvaluationLine: Encodable {
    let step: Int
    let layer, kl, ce: Double
  }

  private static let updates = "log.jsonl"
  private static let evaluations = "evaluation.jsonl"

  /// The files that a log consists of.
  public static let names = [updates, evaluations]

  /// Starts a log in an existing folder, or goes on with one.
  ///
  /// - Parameter lengths: what ``synchronize()`` gave; everything later is cut off.
  /// - Throws: ``CheckpointError`` when a file cannot be written, or has lost what it is to have.
  public init(in folder: URL, continuing lengths: [String: Int] = [:]) throws {
    self.folder = folder
    for name in Self.names {
      if let length = lengths[name] {
        files[name] = try OutputFile(continuing: place(name), after: length)
      } else if FileManager.default.fileExists(atPath: place(name)) {
        try FileManager.default.removeItem(atPath: place(name))
      }
    }
    _ = try file(Self.updates)
  }

  /// Writes a line; a skipped sample has none.
  /// - Throws: ``CheckpointError/unwritable(path:code:)``.
  public func append(_ event: TrainingEvent) throws {
    switch event {
    case .update(let update):
      try write(
        Line(
          step: update.step, lr: update.learningRate, layer: update.losses.layer,
          kl: update.losses.kl, ce: update.losses.ce, loss: update.loss,
          gradientNorm: update.gradientNorm, tokensPerSecond: update.tokensPerSecond),
        to: Self.updates)
    case .evaluation(let step, let losses):
      try write(
        EvaluationLine(step: step, layer: losses.layer, kl: losses.kl, ce: losses.ce),
        to: Self.evaluations)
    case .skipped: break
    }
  }

  /// Waits until everything is on the disk.
  /// - Returns: bytes of each file.
  /// - Throws: ``CheckpointError/unwritable(path:code:)``.
  public func synchronize() throws -> [String: Int] {
    for file in files.values { try file.synchronize() }
    return files.mapValues(\.length)
  }

  private func place(_ name: String) -> String { folder.appendingPathComponent(name).path }

  /// The open file of this name, which is made when it is first needed.
  private func file(_ name: String) throws -> OutputFile {
    let file = try files[name] ?? OutputFile(place(name))
    files[name] = file
    return file
  }

  private func write(_ value: some Encodable, to name: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    let line = try encoder.encode(value) + Data("\n".utf8)
    try line.withUnsafeBytes(file(name).write)
  }
}
