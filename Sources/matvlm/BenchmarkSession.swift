import Foundation
import MaTVLMCore

/// `matvlm evaluate --benchmark`: asks, writes, and scores what can be scored here.
struct BenchmarkSession {
  private let name: BenchmarkName
  private let options: BenchmarkOptions
  private let batchSize: Int
  private let isJSON: Bool

  init(_ name: BenchmarkName, _ options: BenchmarkOptions, batchSize: Int, isJSON: Bool) {
    (self.name, self.options) = (name, options)
    (self.batchSize, self.isJSON) = (batchSize, isJSON)
  }

  /// - Parameters:
  ///   - modelFolder: gives the model its name in the answers.
  ///   - quantization: how its weights are rounded as they are loaded; nil: not.
  ///   - seed: of guesses.
  func run(
    _ modelFolder: URL, quantization: Quantization?, seed: UInt64, on device: Device
  ) throws {
    let benchmark = name.benchmark
    let files = try options.files.files(of: name)
    let prompt = options.prompt ?? .published
    let questions = try benchmark.questions(files, prompt)
    let limit = TokenLimit(
      options.maxTokens ?? benchmark.tokenLimit, countsPrompt: options.publishedLimit)
    let settings = EvaluationSettings(
      name, model: modelFolder.standardizedFileURL.lastPathComponent,
      weights: quantization?.description, prompt: prompt, tokenLimit: limit, batchSize: batchSize,
      questions)
    let folder = EvaluationFolder(URL(fileURLWithPath: options.output ?? "matvlm-evaluation"))
    let shard = options.shard ?? .whole
    var run = try BenchmarkRun(
      settings, questions, shard: shard, images: files.imagesIfNeeded(by: questions), in: folder)
    StandardError.print(settings.description + (shard == .whole ? "" : "\nshard \(shard)"))
    let model = try VisionLanguageModel.load(
      modelFolder, quantization: quantization, on: device)
    let count = run.count
    try run.run(
      { try model.answers($0, limit: limit) }, progress: { Self.show($0, of: count) })
    ScorePrinter.show(run.problems)
    if shard == .whole {
      let answers = try AnswerRecord.read(folder.answers(name))
      try ScorePrinter(isJSON: isJSON).score(
        name, answers, files, seed: seed, into: folder, known: run.problems)
    } else {
      try StandardOutput.print(folder.answers(name, shard).path)
    }
    let failures = run.problems.count { $0.kind == .notAsked }
    if failures > 0 { throw UnaskedQuestions(count: failures, of: count) }
  }

  private static func show(_ answered: Int, of count: Int) {
    guard StandardError.isTerminal else { return }
    StandardError.write("\r\(answered)/\(count)" + (answered == count ? "\n" : ""))
  }
}

/// Some questions have no answer, although everything that could be done was done.
struct UnaskedQuestions: Error, CustomStringConvertible {
  let count: Int
  let of: Int

  var description: String {
    "\(count) of \(of) questions could not be asked, as said above; their answers are empty. Run the "
      + "same command again when their pictures are there"
  }
}
