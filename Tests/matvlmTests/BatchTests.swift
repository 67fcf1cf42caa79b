import Foundation
import Testing

@Suite("matvlm generate --batch")
struct BatchTests {
  private let workplace: Workplace

  init() throws { workplace = try Workplace() }

  /// Prompts of unequal length, with pictures and without.
  private static let prompts: [(id: String?, image: String?, prompt: String)] = [
    (#""first""#, "images/a.png", "what shape is in the picture"), (nil, nil, "how many"),
    ("7", "images/b.jpg", "describe it"), (nil, nil, "which of all these is the one on the left"),
    (#""é\n""#, "images/d.png", "a"), (nil, nil, "three left right"),
    (#""first""#, "images/a.png", "three"),
  ]

  private func line(_ id: String?, _ image: String?, _ prompt: String) -> String {
    let members = [
      id.map { "\"id\": \($0)" }, image.map { "\"image\": \"\($0)\"" }, "\"prompt\": \"\(prompt)\"",
    ]
    return "{\(members.compactMap { $0 }.joined(separator: ", "))}"
  }

  private func write(_ lines: [String]) throws {
    try workplace.folder.write("prompts.jsonl", Data(lines.joined(separator: "\n").utf8))
  }

  private func batch(_ options: String...) throws -> Command {
    try workplace.run(["generate", "--model", "teacher", "--batch", "prompts.jsonl"] + options)
  }

  private func objects(_ text: String) throws -> [[String: Any]] {
    try text.split(separator: "\n").map {
      try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
    }
  }

  @Test(
    "each answer is that of its single run, in the order of the file",
    arguments: [
      ["--batch-size", "7"], ["--batch-size", "3"], ["--batch-size", "1"], [],
      ["--temperature", "1", "--top-p", "0.9", "--seed", "3", "--repetition-penalty", "1.1"],
    ])
  func single(_ options: [String]) throws {
    try write(Self.prompts.map(line) + [""])
    let common = ["--model", "teacher", "--max-tokens", "14"]
    let command = try workplace.run(
      ["generate", "--batch", "prompts.jsonl"] + common + options
    ).requireSuccess()
    let answers = try objects(command.output)
    #expect(answers.count == Self.prompts.count)
    let sampling = options.first == "--temperature" ? options : []
    for (index, (answer, (id, image, prompt))) in zip(answers, Self.prompts).enumerated() {
      let alone = try workplace.run(
        ["generate", "--json", "--prompt", prompt] + (image.map { ["--image", $0] } ?? [])
          + common + sampling
      ).requireSuccess().object()
      #expect(answer.keys.sorted() == (alone.keys + ["id"]).sorted())
      for key in ["ids", "prompt_ids"] {
        #expect(answer[key] as? [Int] == alone[key] as? [Int], "\(prompt)")
      }
      for key in ["text", "end"] { #expect(answer[key] as? String == alone[key] as? String) }
      switch id {
      case nil: #expect(answer["id"] as? Int == index + 1)
      case "7": #expect(answer["id"] as? Int == 7)
      default: #expect(answer["id"] as? String == (id == #""first""# ? "first" : "é\n"))
      }
    }
  }

  @Test("--raw and --image-folder hold for every line")
  func raw() throws {
    try write([line(nil, "a.png", "<image>what"), line(nil, nil, "what")])
    let answers = try objects(
      batch("--raw", "--image-folder", "images", "--max-tokens", "1").requireSuccess().output)
    #expect((answers[0]["prompt_ids"] as? [Int])?.first == -200)
    #expect((answers[1]["prompt_ids"] as? [Int]).map { $0.count < 10 } == true)
  }

  static let broken: [(line: String, words: [String])] = [
    ("not JSON", ["JSON at byte 0"]), (#"{"prompt": "a", "prompt": "b"}"#, ["appears twice"]),
    (#"["prompt"]"#, ["expected an object"]), (#"{"image": "images/a.png"}"#, ["needs prompt"]),
    (#"{"prompt": 3}"#, ["needs prompt"]), (#"{"prompt": "a", "id": []}"#, ["id must be"]),
    (#"{"prompt": "a", "image": 1}"#, ["image must be"]),
    (#"{"prompt": "a", "images": "images/a.png"}"#, [#""images" is not one of"#]),
    (#"{"prompt": "a", "image": "images/none.png"}"#, ["images/none.png", "no such picture"]),
    (#"{"prompt": "a", "image": "../a.png"}"#, ["../a.png", "outside the image folder"]),
    (#"{"prompt": "a", "image": "data.json"}"#, ["data.json", "expected a JPEG or PNG"]),
    (#"{"prompt": "what is <image>"}"#, ["1 <image> and 0 pictures"]),
    (#"{"prompt": "\#(String(repeating: "a", count: 1 << 20))"}"#, ["longer than 1 MiB"]),
  ]

  @Test("a line that cannot be used is named, and ends the command or is passed over")
  func brokenLines() throws {
    let good = line(nil, nil, "how many")
    for (broken, words) in Self.broken {
      try write([broken, "", good])
      try batch("--max-tokens", "2")
        .expectFailure(Command.unusableInput, words + ["prompts.jsonl, line 1: "])
      try write([good, "", broken, good])
      let command = try batch("--max-tokens", "2", "--broken-samples", "skip").requireSuccess()
      #expect(try objects(command.output).map { $0["id"] as? Int } == [1, 4])
      #expect((words + ["line 3"]).filter { !command.errors.contains($0) } == [])
    }
    try write(["{}", "{}"])
    try batch("--broken-samples", "skip")
      .expectFailure(Command.unusableInput, ["none of the lines can be used"])
  }

  @Test("lines that are wrong in themselves are found before anything is answered")
  func checkedFirst() throws {
    try write(Array(repeating: line(nil, nil, "how many"), count: 3) + ["{"])
    try batch("--batch-size", "1").expectFailure(Command.unusableInput, ["line 4"])
  }

  @Test("files and options that do not fit")
  func files() throws {
    try batch().expectFailure(Command.unusableInput, ["prompts.jsonl", "No such file"])
    try write(["", " "])
    try batch().expectFailure(Command.unusableInput, ["prompts.jsonl", "no line"])
    try batch("--prompt", "a").expectFailure(Command.wrongCommandLine, ["--batch"])
    try batch("--image", "images/a.png").expectFailure(Command.wrongCommandLine, ["--image"])
    try batch("--batch-size", "0").expectFailure(Command.wrongCommandLine, ["--batch-size"])
    try workplace.run("generate", "--model", "teacher")
      .expectFailure(Command.wrongCommandLine, ["--prompt"])
  }
}
