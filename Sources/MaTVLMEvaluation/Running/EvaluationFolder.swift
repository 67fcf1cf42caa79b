import Foundation

/// The folder of one model's evaluation: for each benchmark answers, settings and scores.
public struct EvaluationFolder: Sendable {
  /// Where it is.
  public let url: URL

  /// The folder at `url`, which need not exist.
  public init(_ url: URL) { self.url = url }

  /// `pope.jsonl`, or of a shard `pope.2-of-8.jsonl`.
  public func answers(_ benchmark: BenchmarkName, _ shard: Shard = .whole) -> URL {
    file(benchmark, shard, "jsonl")
  }

  func settings(_ benchmark: BenchmarkName, _ shard: Shard = .whole) -> URL {
    file(benchmark, shard, "settings.json")
  }

  func score(_ benchmark: BenchmarkName) -> URL { file(benchmark, .whole, "score.json") }

  /// Accuracies about pictures of shapes, and about what was written in them some turns before.
  public var shapes: URL { url.appendingPathComponent("shapes.json") }
  /// As ``shapes``, by the number of turns.
  public var needle: URL { url.appendingPathComponent("needle.json") }

  /// Whether there is anything to report.
  var hasScores: Bool {
    ([shapes, needle, serverScores] + BenchmarkName.allCases.map(score)).contains {
      FileManager.default.fileExists(atPath: $0.path)
    }
  }

  /// Scores that came from a server or a judge, as `{"mm-vet": 35.4}`.
  var serverScores: URL { url.appendingPathComponent("server-scores.json") }

  private func file(_ benchmark: BenchmarkName, _ shard: Shard, _ kind: String) -> URL {
    let part = shard == .whole ? "" : ".\(shard.number)-of-\(shard.count)"
    return url.appendingPathComponent("\(benchmark.rawValue)\(part).\(kind)")
  }

  /// Makes the folder if it is not there.
  /// - Throws: ``EvaluationError/unwritable(path:reason:)``.
  public func create() throws { try OutputFiles.createFolder(url) }

  /// The number of shards whose files are here; nil: none, or of several numbers.
  func shardCount(_ benchmark: BenchmarkName) throws -> Int? {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: url.path)) ?? []
    let counts = Set(
      names.compactMap { name -> Int? in
        guard let match = name.wholeMatch(of: /(.+)\.\d{1,5}-of-(\d{1,5})\.jsonl/),
          match.1 == benchmark.rawValue
        else { return nil }
        return Int(match.2)
      })
    guard counts.count <= 1 else {
      let list = counts.sorted().map(String.init).joined(separator: " and ")
      throw EvaluationError.incomplete(
        folder: url.path, reason: "it has shards of runs with \(list) parts; remove the older ones")
    }
    return counts.first
  }

  /// Writes a score, and what is to be handed in, into `submissions/`.
  /// - Throws: ``EvaluationError/unwritable(path:reason:)``.
  public func write(_ report: ScoreReport?, _ submissions: [SubmissionFile]) throws {
    if let report { try OutputFiles.write(OutputFiles.json(report), to: score(report.benchmark)) }
    for submission in submissions {
      let file = url.appendingPathComponent("submissions/\(submission.name)")
      try OutputFiles.createFolder(file.deletingLastPathComponent())
      try OutputFiles.write(Data(submission.bytes), to: file)
    }
  }
}
