import ArgumentParser
import Foundation
import MaTVLMCore

/// `matvlm score`
struct ScoreAnswers: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "score", abstract: "Scores an answers file again, without the model.")

  @Argument(help: "Answers as lines of JSON, by this program or the authors'.", completion: .file())
  var answers: String

  @Option(help: "The benchmark.")
  var benchmark: BenchmarkName

  @OptionGroup var files: BenchmarkFileOptions

  @Option(parsing: .unconditional, help: "Draws guesses, which only MMMU has.")
  var seed: UInt64 = 0

  @Option(
    help: "A folder for the score and for what is to be handed in; nothing is written without it.",
    completion: .directory)
  var output: String?

  @Flag(help: "Print one JSON object.")
  var json = false

  func run() throws {
    let files = try files.files(of: benchmark)
    let records = try AnswerRecord.read(URL(fileURLWithPath: answers))
    let folder = output.map { EvaluationFolder(URL(fileURLWithPath: $0)) }
    try folder?.create()
    try ScorePrinter(isJSON: json).score(benchmark, records, files, seed: seed, into: folder)
  }
}
