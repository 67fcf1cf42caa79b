import ArgumentParser
import Foundation
import MaTVLMCore

/// What `matvlm evaluate` does when no subcommand is named.
struct EvaluateAsk: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ask", usage: "matvlm evaluate <options>", shouldDisplay: false)

  @Option(
    help: "The model's folder; the embedded teacher when not given.", completion: .directory)
  var model: String?

  @Option(help: "The folder of a model to compare distributions with.", completion: .directory)
  var reference: String?

  @Option(parsing: .unconditional, help: "Held-out pictures, each with six questions.")
  var pictures = 200

  @Option(parsing: .unconditional, help: "Draws the pictures, or guesses of MMMU.")
  var seed: UInt64 = 0

  @Option(
    parsing: .unconditional,
    help: "Questions that go through the model together; 64 about shapes, 16 of a benchmark.")
  var batchSize: Int?

  @Flag(help: "Print one JSON object.")
  var json = false

  @OptionGroup var benchmark: BenchmarkOptions
  @OptionGroup var weights: WeightOptions
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    if !(1...1_000_000).contains(pictures) {
      throw ValidationError("--pictures must be between 1 and 1000000, not \(pictures).")
    }
    if let batchSize, !(1...4096).contains(batchSize) {
      throw ValidationError("--batch-size must be between 1 and 4096, not \(batchSize).")
    }
    if benchmark.benchmark != nil, reference != nil || weights.quantize != nil {
      throw ValidationError(
        "--reference and --quantize go with questions about shapes; for --benchmark, name a folder "
          + "that 'matvlm quantize' wrote.")
    }
  }

  func run() throws {
    let device = try machine.open()
    let folder = try EmbeddedModel.folder(model)
    if let name = benchmark.benchmark {
      let session = BenchmarkSession(name, benchmark, batchSize: batchSize ?? 16, isJSON: json)
      return try session.run(folder, seed: seed, on: device)
    }
    try StandardOutput.print(shapes(folder, on: device).text(isJSON: json))
  }

  private func shapes(_ folder: URL, on device: Device) throws -> ShapesReport {
    let model = try VisionLanguageModel.load(
      folder, quantization: weights.quantization, on: device)
    let batchSize = batchSize ?? 64
    let questions = EvaluationQuestion.shapes(
      ShapeDataset(seed: seed, split: .heldOut), pictures: pictures)
    let answers = try AnswerEvaluation(of: model, questions, batchSize: batchSize) {
      Self.show($0, of: questions.count)
    }
    var report = ShapesReport(answers)
    if reference != nil || weights.quantize != nil {
      let other = try VisionLanguageModel.load(
        reference.map { URL(fileURLWithPath: $0, isDirectory: true) } ?? folder, on: device
      ).checkedAsReference(of: model)
      report.divergence = try DistributionDivergence(
        of: model, from: other, questions, batchSize: batchSize
      ) { Self.show($0, of: questions.count) }
    }
    return report
  }

  private static func show(_ done: Int, of count: Int) {
    guard StandardError.isTerminal else { return }
    StandardError.write("\r\(done)/\(count)" + (done == count ? "\n" : ""))
  }
}

/// What `evaluate` prints about shapes.
private struct ShapesReport: Encodable {
  let total: Accuracy
  let abilities: [String: Accuracy]
  var divergence: DistributionDivergence?

  init(_ answers: AnswerEvaluation) { (total, abilities) = (answers.total, answers.abilities) }

  func text(isJSON: Bool) throws -> String { isJSON ? try jsonText() : table }

  private var table: String {
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
