import Foundation

/// One line of `log.jsonl`, and one row of `log.csv`.
struct UpdateLine: Encodable {
  let step: Int
  /// Nothing in a run without stages.
  let stage: String?
  let lr, layer, loss, gradientNorm, tokensPerSecond: Double
  /// Nothing where the student was not run as a whole.
  let kl, ce: Double?
  /// Only where there is something to say.
  let outlier: String?
  let skipped: Bool?

  init(_ update: TrainingUpdate) {
    (step, lr, loss) = (update.step, update.learningRate, update.loss)
    stage = update.stage
    (layer, kl, ce) = (update.losses.layer, update.losses.kl, update.losses.ce)
    (gradientNorm, tokensPerSecond) = (update.gradientNorm, update.tokensPerSecond)
    outlier = update.outlier?.quantity.rawValue
    skipped = update.outlier?.isSkipped == true ? true : nil
  }

  /// What a curve can be drawn of, by the names that the table has too.
  private var columns: [(name: String, value: Double?)] {
    [
      ("lr", lr), ("layer", layer), ("kl", kl), ("ce", ce), ("loss", loss),
      ("gradient_norm", gradientNorm),
    ]
  }

  /// - Parameter hasStages: whether the run has any, and with them a column.
  static func header(hasStages: Bool) -> Data {
    let stage = hasStages ? "stage," : ""
    return Data(
      "step,\(stage)lr,layer,kl,ce,loss,gradient_norm,outlier,skipped,tokens_per_second\n".utf8)
  }

  var row: Data {
    let fields =
      ["\(step)"] + (stage.map { [$0] } ?? [])
      + columns.map { $0.value.map { "\($0)" } ?? "" }
      + [outlier ?? "", skipped == true ? "true" : "", "\(tokensPerSecond)"]
    return Data((fields.joined(separator: ",") + "\n").utf8)
  }

  var scalars: [(String, Double)] {
    columns.compactMap { column in column.value.map { ("train/\(column.name)", $0) } } + [
      ("tokens_per_second", tokensPerSecond)
    ]
  }
}

/// One line of `evaluation.jsonl`.
struct EvaluationLine: Encodable {
  let step: Int
  let layer: Double
  let kl, ce: Double?
  /// Nothing for models that were not asked about a single token.
  let accuracy: Double?

  init(step: Int, _ losses: LossMeans) {
    self.step = step
    (layer, kl, ce, accuracy) = (losses.layer, losses.kl, losses.ce, losses.accuracy)
  }

  var scalars: [(String, Double)] {
    [("layer", layer), ("kl", kl), ("ce", ce), ("accuracy", accuracy)].compactMap { name, value in
      value.map { ("held-out/\(name)", $0) }
    }
  }
}

extension Encodable {
  /// A line of JSON with sorted keys, `likeThis` spelled `like_this`.
  fileprivate func encodedLine() throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    return try encoder.encode(self) + Data("\n".utf8)
  }
}

extension UpdateLine {
  func json() throws -> Data { try encodedLine() }
}

extension EvaluationLine {
  func json() throws -> Data { try encodedLine() }
}
