import ArgumentParser
import Foundation
import MaTVLMCore

/// `matvlm evaluate merge`
struct EvaluateMerge: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "merge", abstract: "Joins the shards of a benchmark, if none is missing or short.")

  @Option(help: "The benchmark.")
  var benchmark: BenchmarkName

  @OptionGroup var files: BenchmarkFileOptions

  @Option(help: "The folder of the shards; gets the whole.", completion: .directory)
  var output: String

  @Flag(help: "Print the scores as one JSON object.")
  var json = false

  func run() throws {
    let files = try files.files(of: benchmark)
    let folder = EvaluationFolder(URL(fileURLWithPath: output))
    let merge = try ShardMerge(benchmark, in: folder) { prompt in
      try benchmark.benchmark.questions(files, prompt)
    }
    StandardError.print("\(merge.answers) answers of \(merge.shards) shards")
    let answers = try AnswerRecord.read(folder.answers(benchmark))
    try ScorePrinter(isJSON: json).score(benchmark, answers, files, seed: 0, into: folder)
  }
}
