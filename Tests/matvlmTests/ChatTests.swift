import Foundation
import MaTVLMTestSupport
import Testing

@Suite("matvlm chat, at a terminal")
struct ChatTests {
  private let workplace: Workplace

  init() throws { workplace = try Workplace() }

  private func chat(_ options: String...) throws -> Terminal { try chat(options) }

  private func chat(_ options: [String]) throws -> Terminal {
    let terminal = try Terminal(["chat", "--model", "teacher"] + options, in: workplace.folder)
    try terminal.wait(for: "/help lists the instructions\n> ")
    return terminal
  }

  /// What `generate` answers to a first question.
  private func generated(_ options: String...) throws -> String {
    try workplace.run(["generate", "--model", "teacher"] + options).requireSuccess().output
  }

  @Test("questions about pictures and without, then the end of the input")
  func conversation() throws {
    let terminal = try chat("--max-tokens", "6")
    terminal.type("how many")
    try terminal.wait(for: "how many\n")  // the terminal's own echo
    let first = try terminal.wait(for: "(cut after 6 tokens)\n> ")
    #expect(try first == generated("--prompt", "how many", "--max-tokens", "6"))
    terminal.type("/reset")
    try terminal.wait(for: "a new conversation\n> ")
    terminal.type("/image images/a.png")
    try terminal.wait(for: "what about it?\n> ")
    terminal.type("what shape")
    try terminal.wait(for: "what shape\n")
    let second = try terminal.wait(for: "(cut after 6 tokens)\n> ")
    #expect(
      try second
        == generated("--image", "images/a.png", "--prompt", "what shape", "--max-tokens", "6"))
    terminal.type("/image images/d.png")
    try terminal.wait(for: "what about it?\n> ")
    terminal.type("/stats")
    #expect(try terminal.wait(for: "> ").contains("next          about images/d.png"))
    terminal.type("and this one")
    try terminal.wait(for: "(cut after 6 tokens)\n> ")
    terminal.type("/stats")
    let statistics = try terminal.wait(for: "> ")
    #expect(statistics.contains("turns 2, pictures 2"))
    #expect(statistics.contains("6 tokens; ") && !statistics.contains("about images"))
    terminal.endInput()
    #expect(try terminal.waitForEnd() == 0)
  }

  @Test("Ctrl-C stops an answer, and at the prompt it does nothing; the conversation goes on")
  func interrupt() throws {
    let terminal = try chat("--max-tokens", "1000000")
    terminal.type("how many")
    try terminal.wait(for: "how many\n")
    try terminal.wait(for: " ")  // it streams
    terminal.interrupt()
    try terminal.wait(for: "(stopped)\n> ")
    terminal.type("/stats")
    #expect(try terminal.wait(for: "> ").contains("turns 1, pictures 0"))
    terminal.interrupt()
    try terminal.wait(for: "^C")
    try terminal.wait(for: "> ")
    terminal.type("half a quest")
    try terminal.wait(for: "half a quest\n")
    try terminal.wait(for: " ")
    terminal.interrupt()
    try terminal.wait(for: "(stopped)\n> ")
    terminal.type("/stats")
    #expect(try terminal.wait(for: "> ").contains("turns 2, pictures 0"))
    terminal.type("/quit")
    #expect(try terminal.waitForEnd() == 0)
  }

  @Test("what cannot be done is said, and the conversation goes on")
  func problems() throws {
    let terminal = try chat("--max-tokens", "3")
    try workplace.folder.write("text.png", Data("not a picture".utf8))
    let cases: [(line: String, words: [String])] = [
      ("/image nothing.png", ["nothing.png", "cannot read the picture"]),
      ("/image text.png", ["text.png", "expected a JPEG or PNG picture"]),
      ("/image", ["/image: no such instruction, or something is missing", "/help"]),
      ("/dance now", ["/dance now: no such instruction"]),
      ("/load nothing.session", ["nothing.session", "cannot be read"]),
      ("/load images/a.png", ["images/a.png", "header"]),
      ("/load teacher/model-00001-of-00002.safetensors", ["is not a saved conversation"]),
      ("/save images/a.png", ["images/a.png", "is not a saved conversation"]),
      ("/save nowhere/a.session", ["nowhere", "cannot be written"]),
      ("what is <image>", ["the prompt has 1 <image> and 0 pictures were given"]),
      ("/help", ["/image FILE", "/reset", "/save FILE", "/load FILE", "/stats", "Ctrl-C"]),
      ("", []),
    ]
    let before = try workplace.content
    for (line, words) in cases {
      terminal.type(line)
      if !line.isEmpty { try terminal.wait(for: line) }
      let answer = try terminal.wait(for: "\n> ")
      #expect(words.filter { !answer.contains($0) } == [], "\(line): \(answer)")
    }
    #expect(try workplace.content == before)
    terminal.type("how many")
    try terminal.wait(for: "(cut after 3 tokens)\n> ")
    terminal.type("/stats")
    #expect(try terminal.wait(for: "> ").contains("turns 1, pictures 0"))
    terminal.type("  /quit ")
    #expect(try terminal.waitForEnd() == 0)
  }

  @Test(
    "a conversation that was saved goes on as it would have, whatever the weights are",
    arguments: [[], ["--quantize", "int8"], ["--quantize", "int4"]])
  func saved(_ weights: [String]) throws {
    let options = ["--max-tokens", "5"] + weights
    let terminal = try chat(options)
    terminal.type("/image images/a.png")
    try terminal.wait(for: "what about it?\n> ")
    for question in ["what shape", "how many"] {
      terminal.type(question)
      try terminal.wait(for: "(cut after 5 tokens)\n> ")
    }
    terminal.type("/save my chat.session")
    try terminal.wait(for: "my chat.session: saved\n> ")
    terminal.type("where")
    try terminal.wait(for: "where\n")
    let expected = try terminal.wait(for: "(cut after 5 tokens)\n> ")
    terminal.type("/load my chat.session")
    try terminal.wait(for: "my chat.session: turns 2, pictures 1\n> ")
    terminal.type("where")
    try terminal.wait(for: "where\n")
    #expect(try terminal.wait(for: "(cut after 5 tokens)\n> ") == expected)

    let other = try Terminal(
      ["chat", "--model", "teacher", "--load", "my chat.session"] + options,
      in: workplace.folder)
    try other.wait(for: "my chat.session: turns 2, pictures 1\n")
    try other.wait(for: "> ")
    other.type("where")
    try other.wait(for: "where\n")
    #expect(try other.wait(for: "(cut after 5 tokens)\n> ") == expected)
  }

  @Test("without a terminal there is no prompt; answers alone are on standard output")
  func piped() throws {
    let lines = "/image images/a.png\nwhat shape\n/stats\nhow many\n"
    let command = try workplace.run(
      "chat", "--model", "teacher", "--max-tokens", "4", input: lines
    ).requireSuccess()
    let first = try generated(
      "--image", "images/a.png", "--prompt", "what shape", "--max-tokens", "4")
    #expect(command.output.hasPrefix(first) && command.output.count > first.count + 1)
    #expect(command.errors.contains("turns 1, pictures 1") && !command.errors.contains("> "))
  }

  @Test("--load of what is no conversation ends the program")
  func badLoad() throws {
    try workplace.run("chat", "--model", "teacher", "--load", "data.json")
      .expectFailure(Command.unusableInput, ["data.json"])
    try workplace.run("chat", "--model", "teacher", "--keep", "-1")
      .expectFailure(Command.wrongCommandLine, ["--keep"])
  }
}
