import Foundation
import Testing

@Suite("matvlm distill")
struct DistillTests {
  static let modelFiles = [
    "config.json", "mamba_config.json", "model.safetensors", "tokenizer.json",
    "tokenizer_config.json", "vocab.json", "merges.txt", "added_tokens.json",
    "special_tokens_map.json", "log.jsonl", "log.csv", "run.yaml",
  ]

  /// Every option once, with values that are not the defaults.
  static let allOptions = """
    --ssm-layers 1,2 --seeding identity --steps 2 --batch-size 2 --gradient-accumulation 2 \
    --learning-rate 1e-3 --warmup-steps 1 --decay-steps 1 --weight-decay 0.01 --clip 0.5 \
    --layer-weight 0.5 --layer-loss heads --student-dropout 0.1 --kl-weight 2 --ce-weight 0.25 --divergence jsd --temperature 2 \
    --reduction token-mean --no-shuffle --seed 7 --threads 1 --broken-samples skip \
    --held-out data.json --evaluation-interval 1 --recompute
    """.split(separator: " ").map(String.init)

  @Test("With every option: the folder is complete and the log has what it should")
  func everyOption() throws {
    let workplace = try Workplace()
    let before = try workplace.content
    let command = try workplace.run(
      [
        "distill", "--teacher", "teacher", "--data", "data.json", "--image-folder", "images",
        "--output", "student",
      ] + Self.allOptions
    ).requireSuccess()
    #expect(command.output == "student\n")
    let written = Self.modelFiles + ["evaluation.jsonl"]
    #expect(
      try workplace.content == (before + ["student"] + written.map { "student/\($0)" }).sorted())
    let lines = try workplace.log()
    #expect(lines.map { $0["step"] } == [1, 2])
    #expect(lines.map { $0["lr"] } == [0, 1e-3])
    for line in lines {
      let parts = 0.5 * line["layer"]! + 2 * line["kl"]! + 0.25 * line["ce"]!
      #expect(abs(line["loss"]! - parts) <= 1e-9 * parts)
    }
    #expect(try workplace.text("student/evaluation.jsonl").split(separator: "\n").count == 2)
    let info = try workplace.run("info", "student", "--json").requireSuccess().object()
    #expect(info["mamba_layers"] as? [Int] == [1, 2])
  }

  @Test("A log line has exactly the documented keys")
  func logKeys() throws {
    let workplace = try Workplace()
    _ = try workplace.distill("--steps", "3").requireSuccess()
    let keys = ["ce", "gradient_norm", "kl", "layer", "loss", "lr", "step", "tokens_per_second"]
    #expect(try workplace.log().map { $0.keys.sorted() } == [keys, keys, keys])
  }

  @Test(
    "Which layers are replaced",
    arguments: [
      ("--ssm-ratio 0.25", [0]), ("--ssm-ratio 0.5", [0, 2]),
      ("--ssm-ratio 0.5 --placement beginning", [0, 1]),
      ("--ssm-ratio 0.5 --placement middle", [1, 2]),
      ("--ssm-ratio 0.5 --placement end", [2, 3]), ("--ssm-layers 3", [3]),
    ])
  func placement(_ options: String, layers: [Int]) throws {
    let workplace = try Workplace()
    _ = try workplace.run(
      ["convert", "--teacher", "teacher", "--output", "student"]
        + options.split(separator: " ").map(String.init)
    ).requireSuccess()
    let info = try workplace.run("info", "student", "--json").requireSuccess().object()
    #expect(info["mamba_layers"] as? [Int] == layers)
  }

  @Test("The number of threads changes nothing, another seed does")
  func repeatable() throws {
    let workplace = try Workplace()
    for (name, options) in [
      ("a", ["--threads", "1"]), ("b", ["--threads", "3"]), ("c", ["--seed", "9"]),
    ] {
      _ = try workplace.run(
        [
          "distill", "--teacher", "teacher", "--data", "data.json", "--image-folder", "images",
          "--steps", "3", "--batch-size", "2", "--output", name,
        ] + options
      ).requireSuccess()
    }
    let bytes = try ["a", "b", "c"].map {
      try Data(contentsOf: workplace.folder["\($0)/model.safetensors"])
    }
    #expect(bytes[0] == bytes[1])
    #expect(bytes[0] != bytes[2])
  }

  @Test("An existing hybrid goes on from where it was")
  func student() throws {
    let workplace = try Workplace()
    _ = try workplace.distill("--steps", "1", "--ssm-layers", "2").requireSuccess()
    _ = try workplace.distill("--student", "student", "--steps", "1", "--output", "next")
      .requireSuccess()
    let info = try workplace.run("info", "next", "--json").requireSuccess().object()
    #expect(info["mamba_layers"] as? [Int] == [2])
    let origin = try #require(info["mixer_origin"] as? [String: String])
    #expect(origin.keys.sorted() == ["student"] && origin["student"]?.hasSuffix("/student") == true)
    _ = try workplace.distill(
      "--student", "student", "--ssm-layers", "2", "--steps", "1", "--output", "same"
    ).requireSuccess()
    #expect(
      try Data(contentsOf: workplace.folder["same/model.safetensors"])
        == Data(contentsOf: workplace.folder["next/model.safetensors"]))
  }

  @Test("A teacher of one's own needs data of one's own")
  func needsData() throws {
    try Workplace().run("distill", "--teacher", "teacher")
      .expectFailure(Command.wrongCommandLine, ["--teacher needs --data"])
  }
}

extension Workplace {
  /// The lines of `student/log.jsonl`.
  fileprivate func log() throws -> [[String: Double]] {
    try text("student/log.jsonl").split(separator: "\n").map {
      try JSONDecoder().decode([String: Double].self, from: Data($0.utf8))
    }
  }
}
