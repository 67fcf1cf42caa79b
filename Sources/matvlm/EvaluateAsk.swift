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
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    if !(1...1_000_000).contains(pictures) {
      throw ValidationError("--pictures must be between 1 and 1000000, not \(pictures).")
    }
    if let batchSize, !(1...4096).contains(batchSize) {
      throw ValidationError("--batch-size must be between 1 and 4096, not \(batchSize).")
    }
  }

  func run() throws {
    let device = try machine.open()
    let folder = try EmbeddedModel.folder(model)
    if let name = benchmark.benchmark {
      let session = BenchmarkSession(name, benchmark, batchSize: batchSize ?? 16, isJSON: json)
      return try session.run(folder, seed: seed, on: device)
    }
    let model = try VisionLanguageModel.load(folder, on: device)
    let questions = EvaluationQuestion.shapes(
      ShapeDataset(seed: seed, split: .heldOut), pictures: pictures)
    let evaluation = try AnswerEvaluation(of: model, questions, batchSize: batchSize ?? 64) {
      answered in
      if StandardError.isTerminal {
        StandardError.write(
          "\r\(answered)/\(questions.count)" + (answered == questions.count ? "\n" : ""))
      }
    }
    try StandardOutput.print(json ? evaluation.jsonText() : Self.table(evaluation))
  }

  private static func table(_ evaluation: AnswerEvaluation) -> String {
    let rows = evaluation.abilities.sorted { $0.key < $1.key } + [("all", evaluation.total)]
    return rows.map { name, accuracy in
      name.padding(toLength: 12, withPad: " ", startingAt: 0)
        + String(format: "%6.1f %%  %5d questions", 100 * accuracy.fraction, accuracy.questions)
    }.joined(separator: "\n")
  }
}
