import Foundation

/// One line of `log.jsonl`, and one row of `log.csv`.
struct UpdateLine: Encodable {
  let step: Int
  let lr, layer, kl, ce, loss, gradientNorm, tokensPerSecond: Double
  /// Only where there is something to say.
  let outlier: String?
  let skipped: Bool?

  init(_ update: TrainingUpdate) {
    (step, lr, loss) = (update.step, update.learningRate, update.loss)
    (layer, kl, ce) = (update.losses.layer, update.losses.kl, update.losses.ce)
    (gradientNorm, tokensPerSecond) = (update.gradientNorm, update.tokensPerSecond)
    outlier = update.outlier?.quantity.rawValue
    skipped = update.outlier?.isSkipped == true ? true : nil
  }

  /// What a curve can be drawn of, by the names that the table has too.
  private var columns: [(name: String, value: Double)] {
    [
      ("lr", lr), ("layer", layer), ("kl", kl), ("ce", ce), ("loss", loss),
      ("gradient_norm", gradientNorm),
    ]
  }

  static let header = Data(
    "step,lr,layer,kl,ce,loss,gradient_norm,outlier,skipped,tokens_per_second\n".utf8)

  var row: Data {
    let fields =
      ["\(step)"] + columns.map { "\($0.value)" }
      + [outlier ?? "", skipped == true ? "true" : "", "\(tokensPerSecond)"]
    return Data((fields.joined(separator: ",") + "\n").utf8)
  }

  var scalars: [(String, Double)] {
    columns.map { ("train/\($0.name)", $0.value) } + [("tokens_per_second", tokensPerSecond)]
  }
}

/// One line of `evaluation.jsonl`.
struct EvaluationLine: Encodable {
  let step: Int
  let layer, kl, ce: Double
  /// Nothing for models that were not asked about a single token.
  let accuracy: Double?

  init(step: Int, _ losses: LossMeans) {
    self.step = step
    (layer, kl, ce, accuracy) = (losses.layer, losses.kl, losses.ce, losses.accuracy)
  }

  var scalars: [(String, Double)] {
    [("layer", layer), ("kl", kl), ("ce", ce)].map { ("held-out/\($0.0)", $0.1) }
      + (accuracy.map { [("held-out/accuracy", $0)] } ?? [])
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
