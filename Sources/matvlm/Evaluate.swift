import ArgumentParser
import Foundation
import MaTVLMCore

/// `matvlm evaluate`
struct Evaluate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Accuracy by ability on questions about held-out pictures of shapes.",
    discussion: """
      With --quantize or --reference it also reads the known answers with a second model and reports \
      how far the distributions over the next token are from that model's: the mean Kullback-Leibler \
      divergence per token, in nats. With --quantize alone the second model is the same one before \
      rounding.
      """)

  @Option(
    help: "The model's folder; the embedded teacher when not given.", completion: .directory)
  var model: String?

  @Option(help: "The folder of a model to compare distributions with.", completion: .directory)
  var reference: String?

  @Option(parsing: .unconditional, help: "Held-out pictures, each with six questions.")
  var pictures = 200

  @Option(parsing: .unconditional, help: "Draws the pictures.")
  var seed: UInt64 = 0

  @Option(parsing: .unconditional, help: "Questions that go through the model together.")
  var batchSize = 64

  @Flag(help: "Print one JSON object.")
  var json = false

  @OptionGroup var weights: WeightOptions
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    if !(1...1_000_000).contains(pictures) {
      throw ValidationError("--pictures must be between 1 and 1000000, not \(pictures).")
    }
    if !(1...4096).contains(batchSize) {
      throw ValidationError("--batch-size must be between 1 and 4096, not \(batchSize).")
    }
  }

  func run() throws {
    let device = try machine.open()
    let folder = try EmbeddedModel.folder(model)
    let model = try VisionLanguageModel.load(
      folder, quantization: weights.quantization, on: device)
    let questions = EvaluationQuestion.shapes(
      ShapeDataset(seed: seed, split: .heldOut), pictures: pictures)
    let answers = try AnswerEvaluation(of: model, questions, batchSize: batchSize) {
      Self.show($0, of: questions.count)
    }
    var report = EvaluationReport(answers)
    if reference != nil || weights.quantize != nil {
      let other = try VisionLanguageModel.load(
        reference.map { URL(fileURLWithPath: $0, isDirectory: true) } ?? folder, on: device
      ).checkedAsReference(of: model)
      report.divergence = try DistributionDivergence(
        of: model, from: other, questions, batchSize: batchSize
      ) { Self.show($0, of: questions.count) }
    }
    try StandardOutput.print(json ? report.jsonText() : report.table)
  }

  private static func show(_ done: Int, of count: Int) {
    guard StandardError.isTerminal else { return }
    StandardError.write("\r\(done)/\(count)" + (done == count ? "\n" : ""))
  }
}

/// What `evaluate` prints.
private struct EvaluationReport: Encodable {
  let total: Accuracy
  let abilities: [String: Accuracy]
  var divergence: DistributionDivergence?

  init(_ answers: AnswerEvaluation) { (total, abilities) = (answers.total, answers.abilities) }

  var table: String {
    let rows = abilities.sorted { $0.key < $1.key } + [("all", total)]
    let lines = rows.map { name, accuracy in
      name.padding(toLength: 12, withPad: " ", startingAt: 0)
        + String(format: "%6.1f %%  %5d questions", 100 * accuracy.fraction, accuracy.questions)
    }
    let distance = divergence.map {
      String(format: "KL from the reference %.2e nats per token, %d tokens", $0.kl, $0.tokens)
    }
    return (lines + [distance].compactMap { $0 }).joined(separator: "\n")
  }
}
