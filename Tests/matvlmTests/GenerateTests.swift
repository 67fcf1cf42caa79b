import Foundation
import Testing

@Suite("matvlm generate")
struct GenerateTests {
  /// What `generate` prints for the fixtures' teacher.
  private func generate(_ options: String...) throws -> Command {
    try Workplace().run(["generate", "--model", "teacher"] + options)
  }

  @Test("--json prints one object with the documented keys")
  func json() throws {
    let command = try generate(
      "--image", "images/a.png", "--prompt", "what shape is in the picture", "--max-tokens", "8",
      "--json"
    ).requireSuccess()
    #expect(command.output.filter { $0 == "\n" }.count == 1)
    let object = try command.object()
    #expect(
      object.keys.sorted() == ["end", "ids", "prompt_ids", "seconds", "text", "tokens_per_second"])
    let prompt = try #require(object["prompt_ids"] as? [Int])
    #expect(prompt.filter { $0 < 0 } == [-200])
    let ids = try #require(object["ids"] as? [Int])
    #expect((1...8).contains(ids.count))
    #expect(object["end"] as? String == (ids.last == 0 ? "end-token" : "maximum-tokens"))
  }

  @Test("Without --json the answer is on standard output and the speed on standard error")
  func text() throws {
    let options = ["--prompt", "how many", "--max-tokens", "6"]
    let workplace = try Workplace()
    let plain = try workplace.run(["generate", "--model", "teacher"] + options).requireSuccess()
    let object = try workplace.run(["generate", "--model", "teacher", "--json"] + options)
      .requireSuccess().object()
    #expect(plain.output == (object["text"] as? String ?? "") + "\n")
    #expect(plain.errors.contains("tokens/s"))
  }

  @Test("--raw takes the prompt as it is")
  func raw() throws {
    let raw = try generate("--raw", "--prompt", "ASSISTANT:", "--max-tokens", "1", "--json")
      .requireSuccess().object()
    let templated = try generate("--prompt", "ASSISTANT:", "--max-tokens", "1", "--json")
      .requireSuccess().object()
    let count = try #require((raw["prompt_ids"] as? [Int])?.count)
    #expect(count < 10)
    #expect(try #require((templated["prompt_ids"] as? [Int])?.count) > count + 10)
  }

  @Test("A prompt may begin with a minus sign")
  func minus() throws {
    _ = try generate("--prompt", "-1 or 1?", "--max-tokens", "1").requireSuccess()
  }

  @Test("--stop ends the answer before the text")
  func stop() throws {
    let whole = try generate("--prompt", "how many", "--max-tokens", "12", "--json")
      .requireSuccess().object()
    let text = try #require(whole["text"] as? String)
    let stop = String(text.dropFirst(4).prefix(3))
    let stopped = try generate(
      "--prompt", "how many", "--max-tokens", "12", "--json", "--stop", "zzzz", "--stop", stop
    ).requireSuccess().object()
    #expect(stopped["end"] as? String == "stop-text")
    let end = try #require(text.range(of: stop)?.lowerBound)
    #expect(stopped["text"] as? String == String(text[..<end]))
  }

  @Test("Sampling draws by its seed, and a choice of one token is greedy")
  func sampling() throws {
    func ids(_ options: String...) throws -> [Int]? {
      let workplace = try Workplace()
      return try workplace.run(
        ["generate", "--model", "teacher", "--prompt", "describe", "--max-tokens", "12", "--json"]
          + options
      ).requireSuccess().object()["ids"] as? [Int]
    }
    let greedy = try ids()
    let drawn = try ids("--temperature", "2", "--seed", "1")
    #expect(try ids("--temperature", "2", "--seed", "1") == drawn)
    #expect(try ids("--temperature", "2", "--seed", "2") != drawn)
    #expect(try ids("--temperature", "2", "--top-k", "1") == greedy)
    #expect(try ids("--temperature", "2", "--top-p", "1e-6") == greedy)
    #expect(try ids("--temperature", "2", "--min-p", "1") == greedy)
    #expect(try ids("--repetition-penalty", "5") != greedy)
  }

  @Test("--cache-type keeps keys and values in 16 bits")
  func cacheType() throws {
    let options = ["--prompt", "how many", "--max-tokens", "6", "--json", "--cache-type"]
    func ids(_ type: String) throws -> [Int]? {
      try Workplace().run(["generate", "--model", "teacher"] + options + [type])
        .requireSuccess().object()["ids"] as? [Int]
    }
    #expect(try ids("float32")?.count == 6)
    #expect(try ids("bfloat16")?.first == ids("float32")?.first)
    try Workplace().run(["generate", "--model", "teacher"] + options + ["float16"])
      .expectFailure(Command.wrongCommandLine, ["--cache-type"])
  }
}
