import Foundation
import MaTVLMTestSupport
import Testing

@Suite("Stages in run files, and students that go on with more layers")
struct StageFileTests {
  private static let recipes = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Scripts/recipes")

  /// Two stages of which the second takes what it does not say from the run.
  private static let yaml = """
    layers:
      ssm-layers: [0, 2]
    training:
      batch-size: 2
      learning-rate: 1e-3
      warmup-steps: 0
    stages:
      - name: align
        layer-loss: matrix
        kl-weight: 0
        trains: [mixers]
        steps: 3
        learning-rate: 2e-3
        decay-steps: 1
      - kl-weight: 2
        epochs: 1

    """

  private func run(_ yaml: String, _ options: String..., name: String = "stages.yaml") throws
    -> (Workplace, Command)
  {
    let workplace = try Workplace()
    try workplace.folder.write(name, Data(yaml.utf8))
    return (workplace, try workplace.run(Workplace.distill + ["--config", name] + options))
  }

  @Test("Stages run one after the other, the log and run.yaml say which, and the file repeats them")
  func stages() throws {
    let (workplace, command) = try run(Self.yaml)
    let errors = try command.requireSuccess().errors
    #expect(errors.contains("stage align") && errors.contains("stage stage-2"))
    let table = try workplace.text("student/log.csv").split(separator: "\n").map {
      $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    }
    // Eight samples in batches of two are four updates.
    #expect(
      table.map { $0[1] } == ["stage"] + Array(repeating: "align", count: 3)
        + Array(repeating: "stage-2", count: 4))
    #expect(table[0][4] == "kl" && table[1][4].isEmpty && !table[4][4].isEmpty)
    #expect(table[1][2] == "0.002" && table[4][2] == "0.001")
    let lines = try workplace.text("student/log.jsonl").split(separator: "\n")
    #expect(lines.count == 7 && lines[0].contains("\"stage\":\"align\""))
    #expect(!lines[0].contains("\"kl\"") && lines[3].contains("\"kl\""))
    _ = try workplace.run("distill", "--config", "student/run.yaml", "--output", "again")
      .requireSuccess()
    #expect(try workplace.differences("student", "again") == [])
  }

  @Test("A run killed in its second stage goes on to the same model")
  func killed() throws {
    let yaml = Self.yaml.replacing("epochs: 1", with: "steps: 60")
    let (whole, command) = try run(yaml)
    _ = try command.requireSuccess()
    let workplace = try Workplace()
    try workplace.folder.write("stages.yaml", Data(yaml.utf8))
    let arguments =
      Workplace.distill + ["--config", "stages.yaml", "--checkpoint-interval", "1"]
    let running = try RunningCommand(arguments, in: workplace)
    try running.wait {
      (try? workplace.text("student/log.jsonl").contains("stage-2")) == true
    }
    running.send(SIGKILL)
    _ = running.wait()
    _ = try workplace.run(arguments).requireSuccess()
    #expect(
      try Data(contentsOf: workplace.folder["student/model.safetensors"])
        == Data(contentsOf: whole.folder["student/model.safetensors"]))
  }

  @Test("--set and the command line reach into stages")
  func set() throws {
    let (workplace, command) = try run(
      Self.yaml, "--set", "stages.align.steps=1", "--set", "stages.align.decay-steps=0", "--set",
      "stages.stage-2.steps=1", "--batch-size", "1")
    _ = try command.requireSuccess()
    #expect(try workplace.text("student/log.jsonl").split(separator: "\n").count == 2)
    let (_, other) = try run(Self.yaml, "--stages", "[{name: one, steps: 1}]")
    #expect(try other.requireSuccess().errors.contains("stage one"))
  }

  @Test(
    "What is wrong with a stage is named",
    arguments: [
      ("stages: 3\n", Command.unusableInput, ["a list of stages"]),
      ("stages:\n  - 3\n", Command.unusableInput, ["stages[1]", "options"]),
      ("stages:\n  - stpes: 3\n", Command.unusableInput, ["stages[1].stpes", "steps?"]),
      ("stages:\n  - seed: 3\n", Command.unusableInput, ["stages[1].seed"]),
      ("stages:\n  - steps: many\n", Command.wrongCommandLine, ["stage-1", "steps"]),
      ("stages:\n  - steps: 0\n", Command.wrongCommandLine, ["stage-1", "steps"]),
      ("stages:\n  - clip: -1\n", Command.wrongCommandLine, ["stage-1", "clip"]),
      ("stages:\n  - layer-loss: matrx\n", Command.wrongCommandLine, ["stage-1", "layer-loss"]),
      ("stages:\n  - trains: mixrs\n", Command.unusableInput, ["stage-1", "mixers?"]),
      (
        "stages:\n  - kl-weight: 0\n    trains: connector\n", Command.unusableInput,
        ["stage-1", "reach nothing of connector"]
      ),
      ("stages:\n  - name: a\n  - name: a\n", Command.unusableInput, ["stage a", "another"]),
    ])
  func refused(_ yaml: String, _ code: Int32, _ words: [String]) throws {
    let (workplace, command) = try run(yaml)
    command.expectFailure(code, words)
    #expect(!FileManager.default.fileExists(atPath: workplace.folder["student"].path))
  }

  @Test(
    "The ready files in stages run; their last stage may train all of the student",
    arguments: ["mohawk.yaml", "mmmamba.yaml"])
  func recipe(_ name: String) throws {
    let yaml = try String(contentsOf: Self.recipes.appending(path: name), encoding: .utf8)
    // The small teacher has four layers and eight samples.
    let names = yaml.matches(of: /(?m)^  - name: (\S+)/).map { String($0.1) }
    #expect(names.count == 3)
    let short = names.flatMap { name in
      ["steps=2", "warmup-steps=0", "decay-steps=1", "gradient-accumulation=1"].flatMap {
        ["--set", "stages.\(name).\($0)"]
      }
    }
    let workplace = try Workplace()
    try workplace.folder.write(name, Data(yaml.utf8))
    _ = try workplace.run(
      Workplace.distill + ["--config", name, "--ssm-layers", "0,2", "--batch-size", "2"] + short
    ).requireSuccess()
    let saved = try workplace.text("student/run.yaml")
    for line in yaml.split(separator: "\n") where line.hasPrefix("    learning-rate: ") {
      let value = try #require(Double(line.split(separator: " ").last ?? ""))
      #expect(saved.contains("  learning-rate: \(value)\n"), "\(line)")
    }
    #expect(try workplace.text("student/log.jsonl").split(separator: "\n").count == 6)
  }

  @Test("An earlier student goes on with more layers, and not with fewer")
  func progressive() throws {
    let workplace = try Workplace()
    _ = try workplace.distill("--steps", "1", "--ssm-layers", "2").requireSuccess()
    _ = try workplace.distill(
      "--student", "student", "--ssm-layers", "0,2", "--steps", "1", "--output", "next"
    ).requireSuccess()
    let info = try workplace.run("info", "next", "--json").requireSuccess().object()
    #expect(info["mamba_layers"] as? [Int] == [0, 2])
    _ = try workplace.run("distill", "--config", "next/run.yaml", "--output", "again")
      .requireSuccess()
    #expect(try workplace.differences("next", "again") == [])
    try workplace.distill("--student", "student", "--ssm-layers", "0,1", "--output", "no")
      .expectFailure(Command.unusableInput, ["layers 2", "Mamba-2 already"])
    try workplace.distill("--student", "student", "--seeding", "paper", "--output", "no")
      .expectFailure(Command.wrongCommandLine, ["--seeding"])
    try workplace.distill("--teacher", "student", "--ssm-layers", "2", "--output", "no")
      .expectFailure(Command.unusableInput, ["no attention to replace"])
  }

  @Test("Dropout is an option, and says what it can be")
  func dropout() throws {
    let workplace = try Workplace()
    for (name, options) in [
      ("a", []), ("b", ["--student-dropout", "0"]), ("c", ["--student-dropout", "0.2"]),
    ] {
      _ = try workplace.run(
        Workplace.distill.dropLast() + [name, "--steps", "2", "--warmup-steps", "0"] + options
      ).requireSuccess()
    }
    let models = try ["a", "b", "c"].map {
      try Data(contentsOf: workplace.folder["\($0)/model.safetensors"])
    }
    #expect(models[0] == models[1] && models[0] != models[2])
    try workplace.distill("--student-dropout", "1")
      .expectFailure(Command.wrongCommandLine, ["dropout"])
  }
}
