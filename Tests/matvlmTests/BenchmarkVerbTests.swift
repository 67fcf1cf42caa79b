import Foundation
import MaTVLMTestSupport
import Testing

@Suite("evaluate --benchmark, evaluate merge, score, report")
struct BenchmarkVerbTests {
  /// Twelve questions of POPE about four pictures, in `pope/`; the pictures are in `images/`.
  private static func workplace() throws -> Workplace {
    let workplace = try Workplace()
    let pictures = ["a.png", "b.jpg", "c.jpg", "d.png"]
    for (number, category) in ["random", "popular", "adversarial"].enumerated() {
      let labels = pictures.map { name in
        "{\"image\": \"\(name)\", \"text\": \"Is there a cat\(number)?\", \"label\": \"yes\"}\n"
      }
      try workplace.folder.write("pope/coco/coco_pope_\(category).json", Data(labels.joined().utf8))
    }
    let lines = (0..<12).map { index in
      let category = ["random", "popular", "adversarial"][index / 4]
      return "{\"question_id\": \(index), \"image\": \"\(pictures[index % 4])\", \"text\": "
        + "\"Is there a cat\(index / 4)?\\nAnswer shortly.\", \"category\": \"\(category)\"}\n"
    }
    try workplace.folder.write("pope/llava_pope_test.jsonl", Data(lines.joined().utf8))
    return workplace
  }

  private static func evaluate(
    _ workplace: Workplace, _ options: String..., fileLimit: Int? = nil
  ) throws -> Command {
    try workplace.run(
      [
        "evaluate", "--benchmark", "pope", "--data", "pope", "--images", "images", "--model",
        "teacher", "--max-tokens", "6", "--batch-size", "5",
      ] + options, fileLimit: fileLimit)
  }

  @Test("Answers, settings and scores; score and report find the same numbers")
  func whole() throws {
    let workplace = try Self.workplace()
    let command = try Self.evaluate(workplace, "--output", "run", "--json").requireSuccess()
    for words in ["POPE: 12 questions", "prompt published", "OCR tokens in 0", "6 new tokens"] {
      #expect(command.errors.contains(words))
    }
    let report = try command.object()
    #expect(report["answers"] as? Int == 12)
    #expect(try workplace.text("run/pope.jsonl").split(separator: "\n").count == 12)
    let again = try workplace.run(
      "score", "run/pope.jsonl", "--benchmark", "pope", "--data", "pope", "--json"
    ).requireSuccess()
    #expect(again.output == command.output)
    let table = try workplace.run("report", "run", "--output", "report").requireSuccess()
    let scores = try #require(report["scores"] as? [[String: Any]])
    let headline = try #require(scores[0]["headline"] as? Double)
    #expect(
      table.output.contains("| run |  |  |  |  |  |  | \(String(format: "%.1f", headline)) |"))
    #expect(table.output.contains("MaTVLM 25 % (paper)"))
    #expect(try workplace.text("report/report.md") == table.output)
    #expect(try workplace.content.filter { $0.hasPrefix("report/") }.count == 3)
  }

  @Test("Batches and shards answer as one question at a time does")
  func sameAnswers() throws {
    let workplace = try Self.workplace()
    _ = try Self.evaluate(workplace, "--output", "run").requireSuccess()
    _ = try Self.evaluate(workplace, "--output", "single", "--batch-size", "1").requireSuccess()
    for number in 1...3 {
      _ = try Self.evaluate(workplace, "--output", "parts", "--shard", "\(number)/3")
        .requireSuccess()
    }
    _ = try workplace.run(
      "evaluate", "merge", "--benchmark", "pope", "--data", "pope", "--output", "parts"
    ).requireSuccess()
    let answers = try workplace.text("run/pope.jsonl")
    #expect(try workplace.text("single/pope.jsonl") == answers)
    #expect(try workplace.text("parts/pope.jsonl") == answers)
    #expect(
      try workplace.text("parts/pope.score.json") == workplace.text("run/pope.score.json"))
  }

  @Test("A run whose disk fills up ten times ends with the same answers")
  func interrupted() throws {
    let workplace = try Self.workplace()
    _ = try Self.evaluate(workplace, "--output", "run").requireSuccess()
    let answers = try workplace.text("run/pope.jsonl")
    var limits = 1...10
    if answers.utf8.count <= 10 * 512 { limits = 1...(answers.utf8.count / 512) }
    for round in 0..<10 {
      let limit = limits.lowerBound + round * limits.count / 10
      try Self.evaluate(workplace, "--output", "parts", fileLimit: limit)
        .expectFailure(Command.unwritableOutput, ["pope.jsonl"])
      #expect(
        answers.hasPrefix(try workplace.text("parts/pope.jsonl").split(separator: "\n").first ?? "")
      )
    }
    _ = try Self.evaluate(workplace, "--output", "parts").requireSuccess()
    #expect(try workplace.text("parts/pope.jsonl") == answers)
  }

  @Test("A picture that is missing is named; everything else is asked and scored")
  func missingPicture() throws {
    let workplace = try Self.workplace()
    try FileManager.default.removeItem(at: workplace.folder["images/c.jpg"])
    let command = try Self.evaluate(workplace, "--output", "run")
    #expect(command.status == Command.unusableInput)
    for words in ["not asked: 2", "not asked: 6", "not asked: 10", "3 of 12 questions", "c.jpg"] {
      #expect(command.errors.contains(words))
    }
    #expect(command.errors.components(separatedBy: "not asked: 2:").count == 2)
    #expect(command.output.hasPrefix("POPE, 12 answers"))
    #expect(try workplace.text("run/pope.jsonl").split(separator: "\n").count == 12)
  }

  @Test("Shards that are missing, and other settings, are refused by name")
  func refused() throws {
    let workplace = try Self.workplace()
    _ = try Self.evaluate(workplace, "--output", "run", "--shard", "1/2").requireSuccess()
    let before = try workplace.content
    try workplace.run(
      "evaluate", "merge", "--benchmark", "pope", "--data", "pope", "--output", "run"
    )
    .expectFailure(Command.unusableInput, ["shard 2/2", "--shard 2/2"])
    try Self.evaluate(workplace, "--output", "run", "--shard", "1/2", "--published-limit")
      .expectFailure(Command.unusableInput, ["pope.1-of-2.settings.json", "limit"])
    try workplace.run("report", "images").expectFailure(Command.unusableInput, ["images", "score"])
    try workplace.run("score", "data.json", "--benchmark", "pope", "--data", "pope")
      .expectFailure(Command.unusableInput, ["data.json", "line 1"])
    try workplace.run("evaluate", "--benchmark", "gqa", "--data", "pope", "--model", "teacher")
      .expectFailure(Command.unusableInput, ["llava_gqa_testdev_balanced.jsonl", "--questions"])
    #expect(try workplace.content == before)
  }

  @Test(
    "Wrong command lines",
    arguments: [
      (["evaluate", "--data", "pope"], "--benchmark"),
      (["evaluate", "--benchmark", "pope"], "--data"),
      (["evaluate", "--benchmark", "chess", "--data", "pope"], "chess"),
      (
        ["evaluate", "--benchmark", "pope", "--data", "pope", "--prompt", "text-only"], "published"
      ),
      (["evaluate", "--benchmark", "pope", "--data", "pope", "--shard", "3/2"], "3/2"),
      (["evaluate", "--benchmark", "pope", "--data", "pope", "--max-tokens", "0"], "--max-tokens"),
      (["score", "x.jsonl", "--data", "pope"], "--benchmark"),
      (["report", "--rule", "other"], "other"),
    ])
  func commandLines(_ arguments: [String], _ word: String) throws {
    try Self.workplace().run(arguments).expectFailure(Command.wrongCommandLine, [word])
  }
}
