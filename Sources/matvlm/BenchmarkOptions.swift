import ArgumentParser
import Foundation
import MaTVLMCore

/// Which benchmark, and where a user has its files.
struct BenchmarkFileOptions: ParsableArguments {
  @Option(
    help: "The benchmark's folder, as LLaVA's instructions lay it out.", completion: .directory)
  var data: String?

  @Option(help: "Its question file, in place of the usual one in --data.", completion: .file())
  var questions: String?

  @Option(
    help: "What pictures are relative to, in place of the usual folder.", completion: .directory)
  var images: String?

  @Option(help: "Its right answers, in place of the usual file or folder.", completion: .file())
  var annotations: String?

  var isEmpty: Bool { data == nil && questions == nil && images == nil && annotations == nil }

  func files(of benchmark: BenchmarkName) throws -> BenchmarkFiles {
    guard let folder = data ?? questions.map({ ($0 as NSString).deletingLastPathComponent }) else {
      throw ValidationError("A benchmark needs --data or --questions: where its files are.")
    }
    func url(_ path: String) -> URL { URL(fileURLWithPath: path).standardizedFileURL }
    var files = BenchmarkFiles(
      url(folder.isEmpty ? "." : folder), benchmark.benchmark.layout)
    files.questionFile = questions.map(url)
    files.imageFolder = images.map(url)
    files.annotationPath = annotations.map(url)
    return files
  }
}

/// How a benchmark is asked.
struct BenchmarkOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("A benchmark to ask in place of shapes.", valueName: "name"))
  var benchmark: BenchmarkName?

  @OptionGroup var files: BenchmarkFileOptions

  @Option(
    help: "How questions are put; each benchmark has some of these ways.")
  var prompt: PromptVariant?

  @Option(
    parsing: .unconditional, help: "New tokens at most; the authors' limit when not given.")
  var maxTokens: Int?

  @Flag(help: "Let the prompt's tokens use the limit up, as in the authors' scripts.")
  var publishedLimit = false

  @Option(
    help: ArgumentHelp(
      "One of several equal parts, for one of several processes.", valueName: "2/8"))
  var shard: Shard?

  @Option(
    help: """
      The folder for answers, settings and scores, or without --benchmark for accuracies; what it has of \
      a benchmark is gone on from.
      """,
    completion: .directory)
  var output: String?

  private static let names = BenchmarkName.allCases.map(\.rawValue).joined(separator: ", ")

  func validate() throws {
    guard let benchmark else {
      let isUsed =
        !files.isEmpty || prompt != nil || maxTokens != nil || publishedLimit || shard != nil
      if isUsed { throw ValidationError("These options need --benchmark: \(Self.names).") }
      return
    }
    let prompts = benchmark.benchmark.prompts
    if let prompt, !prompts.contains(prompt) {
      throw ValidationError(
        "--prompt of \(benchmark.rawValue) must be "
          + prompts.map(\.rawValue).joined(separator: " or ") + ", not \(prompt.rawValue).")
    }
    if let maxTokens, !(1...1_000_000).contains(maxTokens) {
      throw ValidationError("--max-tokens must be between 1 and 1000000, not \(maxTokens).")
    }
    _ = try files.files(of: benchmark)
  }
}

extension BenchmarkOptions {
  /// ``output``, made if it is not there.
  func outputFolder() throws -> EvaluationFolder? {
    let folder = output.map { EvaluationFolder(URL(fileURLWithPath: $0)) }
    try folder?.create()
    return folder
  }
}

extension BenchmarkName: ExpressibleByArgument {}
extension PromptVariant: ExpressibleByArgument {}
extension Score.Rule: ExpressibleByArgument {}

extension Shard: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}
