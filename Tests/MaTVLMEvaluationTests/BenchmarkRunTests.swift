import Foundation
import MaTVLMEvaluation
import MaTVLMTestSupport
import Testing

@Suite("Answers files: interrupted, cut, in parts")
struct BenchmarkRunTests {
  private struct Interruption: Error {}

  /// 37 questions, most ids twice, and one picture that is not there.
  private static func folder() throws -> BenchmarkFolder {
    let gqa = try BenchmarkFolder(.gqa)
    try gqa.writePictures("images/a.png")
    try gqa.writeLines(
      "llava_gqa_testdev_balanced.jsonl",
      (0..<37).map {
        ["question_id": $0 / 2, "image": $0 == 20 ? "b.png" : "a.png", "text": "Question \($0)?"]
      })
    return gqa
  }

  private static func settings(
    _ questions: [Question], model: String = "model", batchSize: Int = 4
  ) -> EvaluationSettings {
    EvaluationSettings(
      .gqa, model: model, prompt: .published, tokenLimit: TokenLimit(8), batchSize: batchSize,
      questions)
  }

  /// Runs until the end, or until `left` questions were asked.
  private static func run(
    _ gqa: BenchmarkFolder, into folder: String, shard: Shard = .whole, left: Int = .max
  ) throws -> [Problem] {
    let questions = try gqa.questions()
    var left = left
    var run = try BenchmarkRun(
      settings(questions), questions, shard: shard, images: gqa.files.imagesIfNeeded(by: questions),
      in: EvaluationFolder(gqa.folder[folder]))
    try run.run { batch in
      left -= batch.count
      if left < 0 { throw Interruption() }
      // What a batch is made of shows in its answers.
      return batch.map { "\($0.text.utf8.count) of \(batch.count), first \(batch[0].text)" }
    }
    return run.problems
  }

  @Test("Interrupted ten times, within batches and within lines, it is the same file as of one run")
  func interrupted() throws {
    let gqa = try Self.folder()
    let problems = try Self.run(gqa, into: "whole")
    #expect(problems.filter { $0.kind == .duplicateID }.map(\.id) == (0..<18).map { "\($0)" })
    #expect(problems.filter { $0.kind == .notAsked }.map(\.id) == ["10"])
    let whole = try Data(contentsOf: gqa.folder["whole/gqa.jsonl"])
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<5 {
      let parts = "parts-\(UUID().uuidString)"
      for _ in 0..<10 {
        #expect(throws: Interruption.self) {
          _ = try Self.run(gqa, into: parts, left: Int.random(in: 0...3, using: &generator))
        }
        #expect(throws: Interruption.self) { _ = try Self.run(gqa, into: parts, left: 4) }
        // A process that was killed while it wrote, or a disk that was full.
        let file = gqa.folder["\(parts)/gqa.jsonl"]
        let data = try Data(contentsOf: file)
        try data.dropLast(Int.random(in: 0...min(data.count, 300), using: &generator))
          .write(to: file)
      }
      _ = try Self.run(gqa, into: parts)
      #expect(try Data(contentsOf: gqa.folder["\(parts)/gqa.jsonl"]) == whole)
    }
  }

  @Test("Nothing is asked twice")
  func continued() throws {
    let gqa = try Self.folder()
    #expect(throws: Interruption.self) { _ = try Self.run(gqa, into: "run", left: 13) }
    let lines = try String(contentsOf: gqa.folder["run/gqa.jsonl"], encoding: .utf8)
    #expect(lines.split(separator: "\n").count == 12)
    // 37 questions, 12 answered, one that cannot be asked.
    #expect(throws: Interruption.self) { _ = try Self.run(gqa, into: "run", left: 23) }
    _ = try Self.run(gqa, into: "other", left: 36)
  }

  @Test("A picture that was missing is asked about later, and its line comes to its place")
  func laterPicture() throws {
    let gqa = try Self.folder()
    _ = try Self.run(gqa, into: "run")
    let records = try AnswerRecord.read(gqa.folder["run/gqa.jsonl"])
    #expect(records[20].text == "")
    #expect(try #require(records[20].failure).contains("b.png"))
    try gqa.writePictures("images/b.png")
    #expect(try Self.run(gqa, into: "run").allSatisfy { $0.kind == .duplicateID })
    let now = try AnswerRecord.read(gqa.folder["run/gqa.jsonl"])
    #expect(now.count == 37)
    #expect(now[20].failure == nil && now[20].text != "")
    #expect(now[19] == records[19] && now[21] == records[21])
  }

  @Test("Shards of any number join to the same file", arguments: [1, 2, 5, 36, 50])
  func shards(_ count: Int) throws {
    let gqa = try Self.folder()
    for number in 1...count {
      _ = try Self.run(gqa, into: "run", shard: try #require(Shard("\(number)/\(count)")))
    }
    guard count > 1 else { return }  // `1/1` is the whole
    let folder = EvaluationFolder(gqa.folder["run"])
    let merge = try ShardMerge(.gqa, in: folder) { try gqa.questions($0) }
    #expect((merge.answers, merge.shards) == (37, count))
    let ids = try AnswerRecord.read(folder.answers(.gqa)).map(\.prompt)
    #expect(ids == (0..<37).map { "Question \($0)?" })
  }

  @Test("Shards that do not make a whole are named, and nothing is written")
  func incompleteShards() throws {
    let gqa = try Self.folder()
    let folder = EvaluationFolder(gqa.folder["run"])
    func reason() -> String {
      do {
        _ = try ShardMerge(.gqa, in: folder) { try gqa.questions($0) }
        return "merged"
      } catch { return "\(error)" }
    }
    #expect(reason().contains("gqa.1-of-"))
    _ = try Self.run(gqa, into: "run", shard: Shard("1/3")!)
    _ = try Self.run(gqa, into: "run", shard: Shard("3/3")!)
    #expect(reason().contains("shard 2/3 is missing"))
    #expect(throws: Interruption.self) {
      _ = try Self.run(gqa, into: "run", shard: Shard("2/3")!, left: 5)
    }
    #expect(reason().contains("shard 2/3 lacks 8 of 12 answers (8, 8, 9, 9, 10, …)"))
    #expect(!FileManager.default.fileExists(atPath: folder.answers(.gqa).path))
    _ = try Self.run(gqa, into: "run", shard: Shard("2/3")!)
    #expect(reason() == "merged")
    _ = try Self.run(gqa, into: "run", shard: Shard("1/2")!)
    #expect(reason().contains("2 and 3 parts"))
  }

  @Test("Answers to something else are not gone on from")
  func otherAnswers() throws {
    let gqa = try Self.folder()
    let questions = try gqa.questions()
    let folder = EvaluationFolder(gqa.folder["run"])
    func reason(_ settings: EvaluationSettings, _ questions: [Question]) -> String {
      do {
        _ = try BenchmarkRun(settings, questions, images: nil, in: folder)
        return "begun"
      } catch { return "\(error)" }
    }
    #expect(reason(Self.settings(questions), questions) == "begun")
    #expect(reason(Self.settings(questions, model: "b"), questions).contains("model model, now b"))
    #expect(
      reason(Self.settings(questions, batchSize: 5), questions).contains("batch size 4, now 5"))
    let line = AnswerRecord(questionID: .number(99), prompt: "?", text: "x")
    for (text, words) in [
      (line.line, "line 1 answers 99, which is not asked"), ("{}", "line 1: expected an answer"),
      ("\u{FFFD}", "line 1"),
    ] {
      try gqa.write("run/gqa.jsonl", text + "\n")
      #expect(reason(Self.settings(questions), questions).contains(words))
      #expect(try String(contentsOf: folder.answers(.gqa), encoding: .utf8) == text + "\n")
    }
  }

  @Test("Two processes do not write one file")
  func locked() throws {
    let gqa = try Self.folder()
    let questions = try gqa.questions()
    let folder = EvaluationFolder(gqa.folder["run"])
    let first = try BenchmarkRun(Self.settings(questions), questions, images: nil, in: folder)
    #expect {
      _ = try BenchmarkRun(Self.settings(questions), questions, images: nil, in: folder)
    } throws: { "\($0)".contains("another process") }
    #expect(first.count == 37)
  }

  @Test("A question that the file has again is reported, and asked again")
  func duplicates() throws {
    let gqa = try BenchmarkFolder(.gqa)
    try gqa.writeLines(
      "llava_gqa_testdev_balanced.jsonl",
      [1, 2, 1].map { ["question_id": $0, "text": "Question \($0)?"] })
    let run = try gqa.run { $0.text }
    #expect(run.problems.map { "\($0.kind.rawValue) \($0.id)" } == ["duplicate id 1"])
    #expect(run.records.map(\.text) == ["Question 1?", "Question 2?", "Question 1?"])
  }

  @Test("A part of the questions, as the command line names it")
  func shardNames() {
    for text in ["0/3", "4/3", "1/0", "1", "1/2/3", "a/b", "-1/2", ""] {
      #expect(Shard(text) == nil)
    }
    #expect((1...8).flatMap { Shard("\($0)/8")!.range(of: 21) } == Array(0..<21))
  }
}
