import Foundation
import MaTVLMTestSupport
import Testing

@Suite("Run files: options from YAML")
struct RunFileTests {
  private static let folder = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Scripts/recipes")
  static let names =
    (try? FileManager.default.contentsOfDirectory(atPath: folder.path))?.sorted() ?? []

  private func run(_ yaml: String, _ options: String..., at path: String = "run.yaml") throws
    -> (Workplace, Command)
  {
    let workplace = try Workplace()
    try workplace.folder.write(path, Data(yaml.utf8))
    let command = try workplace.run(
      ["distill", "--config", path, "--teacher", "teacher", "--data", "data.json"]
        + ["--image-folder", "images", "--output", "student"] + options)
    return (workplace, command)
  }

  @Test("What is saved beside a result repeats it, with every option")
  func repeated() throws {
    let workplace = try Workplace()
    _ = try workplace.run(Workplace.distill + DistillTests.allOptions).requireSuccess()
    _ = try workplace.run("distill", "--config", "student/run.yaml", "--output", "again")
      .requireSuccess()
    #expect(try workplace.differences("student", "again") == [])
    let options = try workplace.text("student/run.yaml")
    for (name, value) in zip(DistillTests.allOptions, DistillTests.allOptions.dropFirst())
    where name.hasPrefix("--") && !value.hasPrefix("--") {
      let line = try #require(
        options.split(separator: "\n").first {
          $0.hasPrefix("  \(name.dropFirst(2)): ")
        }, "\(name)")
      let text = line.split(separator: " ").last.map(String.init) ?? ""
      #expect(text.hasSuffix(value) || Double(text) == Double(value), "\(line)")
    }
  }

  @Test("A pretraining is repeated by its file too")
  func pretraining() throws {
    let workplace = try Workplace()
    _ = try workplace.run(
      "pretrain", "--pictures", "8", "--batch-size", "4", "--output", "one"
    ).requireSuccess()
    _ = try workplace.run("pretrain", "--config", "one/run.yaml", "--output", "two")
      .requireSuccess()
    #expect(try workplace.differences("one", "two") == [])
  }

  @Test("The command line counts more than --set, and --set more than the file")
  func precedence() throws {
    let yaml = "training:\n  steps: 5\n  seed: 1\n  learning-rate: 1e-3\n  no-shuffle: true\n"
    let (workplace, command) = try run(
      yaml, "--set", "training.seed=2", "--set=training.learning-rate=2e-3", "--seed", "3",
      "--set", "training.epochs=1")
    _ = try command.requireSuccess()
    let saved = try workplace.text("student/run.yaml")
    for line in ["seed: 3", "learning-rate: 0.002", "steps: 8", "no-shuffle: true"] {
      #expect(saved.contains("  \(line)\n"), "\(line)")
    }
  }

  @Test("An unfinished run goes on by its own file when nothing else is said")
  func ownFile() throws {
    let workplace = try Workplace()
    let command = try RunningCommand(
      Workplace.distill + ["--steps", "150", "--learning-rate", "1e-3"], in: workplace)
    try command.wait { (try? workplace.text("student/log.jsonl").isEmpty) == false }
    command.send(SIGINT)
    #expect(command.wait() == 130)
    _ = try workplace.run("distill", "--resume", "--output", "student").requireSuccess()
    #expect(try workplace.text("student/log.jsonl").split(separator: "\n").count == 150)
  }

  @Test(
    "What is no run file is refused, and named",
    arguments: [
      ("training:\n  learning-rat: 1\n", ["training.learning-rat", "training.learning-rate?"]),
      ("trainning:\n  steps: 1\n", ["trainning.steps", "training.steps?"]),
      ("steps: 1\n", ["steps", "a section"]), ("- 1\n", ["sections"]), ("[1\n", ["not YAML"]),
      ("training:\n  steps: 1\n  steps: 2\n", ["steps"]),
      ("training:\n  steps: {a: 1}\n", ["training.steps", "a value"]),
      ("training:\n  no-shuffle: maybe\n", ["training.no-shuffle", "true or false"]),
      ("xyzzy:\n  plugh: 1\n", ["xyzzy.plugh"]),
    ])
  func refused(_ yaml: String, _ words: [String]) throws {
    let (workplace, command) = try run(yaml)
    command.expectFailure(Command.unusableInput, ["run.yaml"] + words)
    #expect(!FileManager.default.fileExists(atPath: workplace.folder["student"].path))
  }

  @Test("Wrong values are the command line's errors; wrong --set too")
  func wrongValues() throws {
    for (yaml, options, word) in [
      ("training:\n  steps: many\n", [], "steps"), ("training:\n  clip: -1\n", [], "clip"),
      ("", ["--set", "training.stesp=1"], "training.steps?"), ("", ["--set", "steps"], "--set"),
    ] {
      let workplace = try Workplace()
      try workplace.folder.write("run.yaml", Data(yaml.utf8))
      try workplace.run(Workplace.distill + ["--config", "run.yaml"] + options)
        .expectFailure(Command.wrongCommandLine, [word])
    }
    try Workplace().run("distill", "--config", "none.yaml")
      .expectFailure(Command.unusableInput, ["none.yaml"])
  }

  @Test(
    "Every option of a help can stand in a run file", arguments: ["distill", "plan", "pretrain"])
  func complete(_ verb: String) throws {
    let workplace = try Workplace()
    let help = try workplace.run(verb, "--help").requireSuccess().output
    let options = Set(help.matches(of: /(?m)^  --([a-z-]+)/).map { String($0.1) })
      .subtracting(["config", "set", "help", "version", "no-resume", "explain", "json"])
    #expect(options.count > 20)
    for option in options.sorted() {
      // The message for a name that is nearly right has the whole key.
      let error = try workplace.run([verb, "--set", "x.\(option)=1"]).errors
      #expect(error.contains(".\(option)?") || error.contains(" \(option)?"), "\(option): \(error)")
    }
  }

  @Test(
    "The ready files of one stage run, and take effect as they are written",
    arguments: names.filter { !["mmmamba.yaml", "mohawk.yaml"].contains($0) })
  func recipe(_ name: String) throws {
    let yaml = try String(contentsOf: Self.folder.appending(path: name), encoding: .utf8)
    // The small teacher has four layers and eight samples.
    let (workplace, command) = try run(
      yaml, "--ssm-layers", "0", "--steps", "1", "--warmup-steps", "0", "--decay-steps", "0",
      "--batch-size", "2", "--gradient-accumulation", "1", at: "recipe.yaml")
    _ = try command.requireSuccess()
    let saved = try workplace.text("student/run.yaml").split(separator: "\n")
    let changed = [
      "ssm-layers", "epochs", "warmup-steps", "decay-steps", "batch-size", "gradient-accumulation",
    ]
    let lines = yaml.split(separator: "\n").filter { $0.hasPrefix("  ") }
    #expect(lines.count == 18)
    for line in lines {
      let pair = line.trimmingCharacters(in: .whitespaces).split(separator: ": ").map(String.init)
      guard !changed.contains(pair[0]) else { continue }
      let other = try #require(saved.first { $0.hasPrefix("  \(pair[0]): ") }, "\(pair[0])")
      let value = String(other.dropFirst(pair[0].count + 4))
      #expect(value == pair[1] || Double(value) == Double(pair[1]), "\(line), \(other)")
    }
  }

  @Test("There is a file for each of the paper's shares, and for each row of two of its tables")
  func recipes() throws {
    #expect(
      Self.names == [
        "12.5-percent.yaml", "25-percent.yaml", "50-percent.yaml", "mmmamba.yaml", "mohawk.yaml",
        "table-3-beginning.yaml",
        "table-3-end.yaml", "table-3-middle.yaml", "table-4-all.yaml", "table-4-label.yaml",
        "table-4-layer.yaml", "table-4-probability.yaml",
      ])
  }
}
