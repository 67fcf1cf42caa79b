import Foundation
import Testing

@Suite("Each verb, in small")
struct VerbTests {
  @Test("convert writes a hybrid that info describes and generate runs")
  func convert() throws {
    let workplace = try Workplace()
    let command = try workplace.run(
      "convert", "--teacher", "teacher", "--ssm-layers", "0,2", "--seeding", "paper",
      "--output", "student"
    ).requireSuccess()
    #expect(command.output == "student\n")
    let info = try workplace.run("info", "student", "--json").requireSuccess().object()
    #expect(info["mamba_layers"] as? [Int] == [0, 2])
    #expect(info["attention_layers"] as? [Int] == [1, 3])
    #expect(info["stored_as"] as? String == "float32")
    let text = try workplace.run("info", "student").requireSuccess().output
    #expect(text.contains("Mamba-2 layers       0 2\n"))
    _ = try workplace.run("generate", "--model", "student", "--prompt", "hi", "--max-tokens", "3")
      .requireSuccess()
  }

  @Test("The same seed converts to the same bytes, another one does not")
  func convertSeed() throws {
    let workplace = try Workplace()
    for (name, seed) in [("a", "1"), ("b", "1"), ("c", "2")] {
      _ = try workplace.run("convert", "--teacher", "teacher", "--seed", seed, "--output", name)
        .requireSuccess()
    }
    let bytes = try ["a", "b", "c"].map {
      try Data(contentsOf: workplace.folder["\($0)/model.safetensors"])
    }
    #expect(bytes[0] == bytes[1])
    #expect(bytes[0] != bytes[2])
  }

  @Test("info counts the same bytes as the files have")
  func info() throws {
    let workplace = try Workplace()
    let info = try workplace.run("info", "teacher", "--json").requireSuccess().object()
    let parameters = try #require(info["parameters"] as? Int)
    #expect(info["bytes"] as? Int == 4 * parameters)
    #expect(info["mamba_layers"] as? [Int] == [])
  }

  @Test("shapes writes pictures and questions, and the same seed the same ones")
  func shapes() throws {
    let workplace = try Workplace()
    for name in ["one", "two"] {
      _ = try workplace.run("shapes", "--output", name, "--count", "20", "--seed", "3")
        .requireSuccess()
    }
    for file in ["train.json", "held-out.json", "train/000019.png", "held-out/000001.png"] {
      #expect(
        try Data(contentsOf: workplace.folder["one/\(file)"])
          == Data(contentsOf: workplace.folder["two/\(file)"]))
    }
  }

  @Test("pretrain makes a teacher that evaluate asks")
  func pretrain() throws {
    let workplace = try Workplace()
    let command = try workplace.run(
      "pretrain", "--pictures", "64", "--batch-size", "32", "--steps", "2", "--output", "fresh"
    ).requireSuccess()
    #expect(command.output == "fresh\n")
    let info = try workplace.run("info", "fresh", "--json").requireSuccess().object()
    #expect(info["stored_as"] as? String == "bfloat16")
    #expect((info["attention_layers"] as? [Int] ?? []).count >= 8)
    let evaluation = try workplace.run("evaluate", "--model", "fresh", "--pictures", "2", "--json")
      .requireSuccess().object()
    let total = try #require(evaluation["total"] as? [String: Int])
    #expect(total["questions"] == 12)
  }

  @Test(
    "The embedded teacher answers, and its student is distilled from it",
    .enabled(if: Command.hasEmbeddedTeacher, "the embedded teacher is not in this build"))
  func embedded() throws {
    let workplace = try Workplace()
    let teacher = try workplace.run("evaluate", "--pictures", "20", "--json")
      .requireSuccess().object()
    let total = try #require(teacher["total"] as? [String: Int])
    #expect(Double(total["right"]!) >= 0.95 * Double(total["questions"]!))
    _ = try workplace.run("distill", "--steps", "2", "--output", "student").requireSuccess()
    let info = try workplace.run("info", "student", "--json").requireSuccess().object()
    #expect(info["mamba_layers"] as? [Int] == [0, 4])
  }

  @Test(
    "A card that is not there is named, and nothing is written",
    .enabled(if: !FileManager.default.fileExists(atPath: "/dev/nvidia0"), "there is a card"))
  func noCard() throws {
    let workplace = try Workplace()
    let before = try workplace.content
    try workplace.distill("--steps", "1", "--device", "cuda")
      .expectFailure(EXIT_FAILURE, ["libcuda"])
    #expect(try workplace.content == before)
  }
}
