import Foundation

/// The shards of a run as one answers file.
public struct ShardMerge {
  /// Lines of the merged file.
  public let answers: Int
  /// Files that were joined.
  public let shards: Int

  /// Joins the shards of `folder`, in the order of the questions.
  ///
  /// - Parameter questions: the whole benchmark, read with the run's prompt.
  /// - Throws: ``EvaluationError/incomplete(folder:reason:)`` naming what is missing; nothing is
  ///   written then.
  public init(
    _ benchmark: BenchmarkName, in folder: EvaluationFolder,
    questions: (PromptVariant) throws -> [Question]
  ) throws {
    func incomplete(_ reason: String) -> EvaluationError {
      .incomplete(folder: folder.url.path, reason: reason)
    }
    guard let count = try folder.shardCount(benchmark) else {
      throw incomplete("it has no \(benchmark.rawValue).1-of-….jsonl")
    }
    let shards = (1...count).compactMap { Shard(number: $0, count: count) }
    let settings = try shards.map { shard in
      let file = folder.settings(benchmark, shard)
      guard FileManager.default.fileExists(atPath: file.path) else {
        throw incomplete("shard \(shard) is missing; run it with --shard \(shard)")
      }
      return try EvaluationSettings(contentsOf: file)
    }
    if let index = settings.firstIndex(where: { $0 != settings[0] }) {
      let difference = settings[0].difference(from: settings[index])
      throw incomplete("shards 1 and \(index + 1) were run otherwise: \(difference)")
    }
    let all = try questions(settings[0].prompt)
    guard all.count == settings[0].questions else {
      throw incomplete("it answers \(settings[0].questions) questions, and there are \(all.count)")
    }
    var merged = Data()
    for shard in shards {
      merged += try Self.lines(folder.answers(benchmark, shard), all[shard.range(of: all.count)]) {
        incomplete("shard \(shard) \($0)")
      }
    }
    try OutputFiles.write(OutputFiles.json(settings[0]), to: folder.settings(benchmark))
    try OutputFiles.write(merged, to: folder.answers(benchmark))
    (answers, self.shards) = (all.count, count)
  }

  /// The lines of one shard, one for each question, in order.
  private static func lines(
    _ file: URL, _ questions: ArraySlice<Question>, _ incomplete: (String) -> EvaluationError
  ) throws -> Data {
    var ledger = AnswerLedger(questions)
    let lines = InputFile.lines(try InputFile.bytes(of: file))
    for record in try AnswerRecord.read(file) {
      if let problem = ledger.add(record) { throw incomplete("does not fit: \(problem)") }
    }
    let missing = ledger.missing
    guard missing.isEmpty else {
      let names = missing.prefix(5).map { "\(questions[questions.startIndex + $0].id)" }
      throw incomplete(
        "lacks \(missing.count) of \(questions.count) answers (\(names.joined(separator: ", "))"
          + "\(missing.count > 5 ? ", …" : "")); run it again to the end")
    }
    return ledger.order.reduce(into: Data()) { $0 += lines[$1].bytes + Data("\n".utf8) }
  }
}
