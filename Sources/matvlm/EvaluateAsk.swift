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

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Ask only what is written in a picture, after so many turns about other things.",
      valueName: "0,1,…"))
  var needle: TurnCounts?

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
    if benchmark.benchmark != nil, reference != nil || needle != nil {
      throw ValidationError(
        "--reference and --needle go with questions about shapes, not with --benchmark.")
    }
  }

  func run() throws {
    let device = try machine.open()
    let folder = try EmbeddedModel.folder(model)
    if let name = benchmark.benchmark {
      let session = BenchmarkSession(name, benchmark, batchSize: batchSize ?? 16, isJSON: json)
      return try session.run(
        folder, quantization: weights.quantization, seed: seed, on: device)
    }
    let output = try benchmark.outputFolder()
    let report = try shapes(folder, on: device)
    if let output {
      try AtomicFile.write(
        Data(report.jsonText().utf8), to: needle == nil ? output.shapes : output.needle)
    }
    try StandardOutput.print(report.text(isJSON: json))
  }

  private var questions: [EvaluationQuestion] {
    let dataset = ShapeDataset(seed: seed, split: .heldOut)
    guard let needle else { return EvaluationQuestion.shapes(dataset, pictures: pictures) }
    return EvaluationQuestion.needles(dataset, pictures: pictures, distances: needle.counts)
  }

  private func shapes(_ folder: URL, on device: Device) throws -> ShapesReport {
    let model = try VisionLanguageModel.load(
      folder, quantization: weights.quantization, on: device)
    let batchSize = batchSize ?? 64
    let questions = questions
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
