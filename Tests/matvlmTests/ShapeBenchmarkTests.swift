import Foundation
import MaTVLMTestSupport
import Testing

@Suite(
  "Pictures of shapes as benchmarks have theirs, and questions asked late",
  .enabled(if: Command.hasEmbeddedTeacher, "the embedded teacher is not in this build"))
struct ShapeBenchmarkTests {
  /// Eight held-out pictures in `shapes/`.
  private static func workplace() throws -> Workplace {
    let workplace = try Workplace()
    _ = try workplace.run("shapes", "--benchmarks", "--count", "80", "--output", "shapes")
      .requireSuccess()
    return workplace
  }

  private static func evaluate(_ workplace: Workplace, _ name: String, _ options: String...) throws
    -> Command
  {
    try workplace.run(
      [
        "evaluate", "--benchmark", name, "--data", "shapes/\(name)", "--output", "run", "--json",
        "--max-tokens", "16",
      ] + options)
  }

  /// The teacher answers nearly everything, so that a file which says something wrong would show.
  @Test(
    "The teacher's scores on each are nearly full marks",
    arguments: [("pope", 48, 95.0), ("mme", 40, 550), ("gqa", 24, 90), ("textvqa", 8, 90)])
  func scores(_ name: String, _ atLeast: Int, _ headline: Double) throws {
    let workplace = try Self.workplace()
    let report = try Self.evaluate(workplace, name).requireSuccess().object()
    #expect(report["answers"] as? Int ?? 0 >= atLeast)
    #expect((report["problems"] as? [Any])?.isEmpty == true)
    let scores = try #require(report["scores"] as? [[String: Any]])
    for score in scores { #expect(score["headline"] as? Double ?? 0 >= headline, "\(score)") }
  }

  @Test("Weights can be rounded for a benchmark; its settings say so, and others are refused")
  func quantized() throws {
    let workplace = try Self.workplace()
    let command = try Self.evaluate(workplace, "textvqa", "--quantize", "int4").requireSuccess()
    #expect(command.errors.contains("weights int4 in groups of 32"))
    #expect(try workplace.text("run/textvqa.settings.json").contains("int4 in groups of 32"))
    try Self.evaluate(workplace, "textvqa")
      .expectFailure(Command.unusableInput, ["int4 in groups of 32, now as stored"])
  }

  @Test("Accuracies after each number of turns, printed and left for the report")
  func late() throws {
    let workplace = try Workplace()
    let options = ["--pictures", "4", "--output", "run", "--json"]
    let late = try workplace.run(["evaluate", "--needle", "5,0"] + options).requireSuccess()
    let abilities = try #require(try late.object()["abilities"] as? [String: [String: Int]])
    #expect(abilities.mapValues { $0["questions"] } == ["0 turns": 4, "5 turns": 4])
    _ = try workplace.run(["evaluate"] + options).requireSuccess()
    let table = try workplace.run("report", "run").requireSuccess().output
    #expect(table.contains("| model | 0 turns | 5 turns | all |\n"))
    #expect(table.contains("| model | caption | colour |"))
    try workplace.run("evaluate", "--needle", "1", "--benchmark", "pope", "--data", "images")
      .expectFailure(Command.wrongCommandLine, ["--needle"])
  }

  @Test("Conversations of any length are drawn, written and learned from")
  func turns() throws {
    let workplace = try Workplace()
    _ = try workplace.run("shapes", "--turns", "9", "--count", "10", "--output", "shapes")
      .requireSuccess()
    let records = try JSONSerialization.jsonObject(
      with: Data(contentsOf: workplace.folder["shapes/train.json"]))
    let first = try #require((records as? [[String: Any]])?.first)
    #expect((first["conversations"] as? [Any])?.count == 18)
    _ = try workplace.run(
      "pretrain", "--turns", "9", "--pictures", "4", "--batch-size", "4", "--output", "teacher9"
    ).requireSuccess()
    #expect(try workplace.text("teacher9/run.yaml").contains("turns: 9\n"))
  }
}
