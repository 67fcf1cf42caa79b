import Foundation
import MaTVLMEvaluation
import MaTVLMTestSupport
import Testing

@Suite("Benchmarks with options, from question to score")
struct OptionBenchmarkTests {
  @Test("ScienceQA: pictures or none, both prompts, both rules")
  func scienceQA() throws {
    let science = try BenchmarkFolder(.scienceqa)
    try science.writePictures("images/test/1/image.png")
    func entry(_ id: String, _ text: String, _ image: String?) -> [String: Any] {
      var entry: [String: Any] = [
        "id": id,
        "conversations": [["from": "human", "value": text], ["from": "gpt", "value": "A"]],
      ]
      entry["image"] = image
      return entry
    }
    try science.writeJSON(
      "llava_test_CQM-A.json",
      [entry("1", "<image>\nWhich? A. x B. y", "1/image.png"), entry("2", "Why? A. x B. y", nil)])
    func problem(_ answer: Int, _ image: Any) -> [String: Any] {
      ["choices": ["x", "y"], "answer": answer, "image": image]
    }
    try science.writeJSON(
      "problems.json",
      ["1": problem(1, "image.png"), "2": problem(0, NSNull()), "3": problem(0, "image.png")])
    try science.writeJSON("pid_splits.json", ["test": ["1", "2", "3"], "train": []])
    let run = try science.run { $0.picture == nil ? "A" : "The answer is B" }
    #expect(run.records.map(\.prompt) == ["<image>\nWhich? A. x B. y", "Why? A. x B. y"])
    #expect(
      try science.questions(.singleAnswer)[1].text
        == "Why? A. x B. y\nAnswer with the option's letter from the given choices directly.")
    let report = try #require(try science.benchmark.score(run.records, science.files, seed: 0))
    // The published rule wants a character after the letter, and forgets question 3's picture.
    #expect(report[.published]?.headline == 0)
    #expect(report[.published]?["image_samples"] == 1)
    #expect(report[.corrected]?.headline == 50)
    #expect(abs(try #require(report[.published]?["accuracy"]) - 100 / 3) < 1e-9)
    #expect(report.reported == ["missing answer: 3"])
  }

  private static let header =
    "index\tquestion\thint\tA\tB\tC\tD\tanswer\tcategory\timage\tsource\tl2-category\tcomment\tsplit"

  private func mmBench() throws -> BenchmarkFolder {
    let mmBench = try BenchmarkFolder(.mmbench)
    let picture = try BenchmarkFolder.picture(9).base64EncodedString()
    let tail = "\t\(picture)\ts\tl\tnan\tdev"
    let rows = [
      "0\tWhat colour?\tLook.\tred\tblue\tnan\t\tA\tcolour",
      "1\t\"Say \"\"hi\"\"\tthere\"\t\tone\ttwo\tthree\tfour\tD\tcount",
      "1000000\tWhat colour?\tLook.\tblue\tred\t\t\tB\tcolour",
    ]
    try mmBench.write(
      "mmbench_dev_20230712.tsv", ([Self.header] + rows.map { $0 + tail }).joined(separator: "\r\n")
    )
    return mmBench
  }

  @Test("MMBench: prompts from a table with pictures, circular score by hand")
  func mmBenchScore() throws {
    let mmBench = try mmBench()
    var pixels: [UInt8] = []
    let answers = [0: "A", 1: "four", 1_000_000: "(A) blue"]
    var index = 0
    let run = try mmBench.run { question in
      pixels.append(question.picture!.pixels[0])
      defer { index += 1 }
      return answers[[0, 1, 1_000_000][index]]!
    }
    #expect(pixels == [9, 9, 9])
    #expect(run.records[0].prompt == "Look.\nWhat colour?\nA. red\nB. blue")
    #expect(run.records[1].prompt.hasPrefix("Say \"hi\"\tthere\nA. one"))
    #expect(run.lines[0].hasPrefix(#"{"question_id": 0, "round_id": 0, "prompt": "Look."#))
    #expect(
      run.lines[0].contains(#""options": ["red", "blue"], "option_char": ["A", "B"], "answer_id""#))
    #expect(try mmBench.questions(.singleAnswerChinese)[0].text.hasSuffix("\n请直接回答选项字母。"))
    let score = try #require(
      try mmBench.benchmark.score(run.records, mmBench.files, seed: 0)?[.published])
    // Question 0 is right, its rotated copy is not.
    #expect(score.headline == 50)
    #expect(score["unrotated"] == 100)
    #expect(score["colour"] == 0)
    #expect(score["count"] == 100)
  }

  @Test("MMBench: options in every rotation, letters read back")
  func mmBenchRounds() throws {
    let mmBench = try mmBench()
    // Always the option that is right, by the letter under which it is shown.
    let right: Set = ["red", "four"]
    let run = try mmBench.run(.allRounds) { question in
      let line = question.text.split(separator: "\n").first {
        right.contains(String($0.dropFirst(3)))
      }
      return String(line!.first!)
    }
    #expect(run.records.map(\.text) == ["A", "B", "D", "C", "B", "A", "B", "A"])
    #expect(run.records[3].round?.letters == ["B", "C", "D", "A"])
    #expect(run.records[3].prompt.hasSuffix("A. two\nB. three\nC. four\nD. one"))
    #expect(run.problems == [])
    let report = try #require(try mmBench.benchmark.score(run.records, mmBench.files, seed: 0))
    #expect(report[.published]?.headline == 100)
    #expect(report.problems == [])
    let other = run.records.map {
      AnswerRecord(
        questionID: $0.questionID, prompt: $0.prompt,
        text: $0.prompt.hasSuffix("D. one") ? "A" : $0.text, round: $0.round)
    }
    #expect(try mmBench.benchmark.score(other, mmBench.files, seed: 0)?[.published]?.headline == 50)
  }

  @Test("MMBench: the spreadsheet has the table's rows and the answers")
  func mmBenchSubmission() throws {
    let mmBench = try mmBench()
    let file = try mmBench.benchmark.submissions(
      [AnswerRecord(questionID: .number(1), prompt: "", text: "D & <more>")], mmBench.files, seed: 0
    )[0]
    #expect(file.name == "mmbench.xlsx")
    // Nothing in it is compressed.
    let text = String(decoding: file.bytes, as: UTF8.self)
    #expect(text.hasPrefix("PK\u{3}\u{4}"))
    for part in [
      "<c r=\"G1\" t=\"inlineStr\"><is><t xml:space=\"preserve\">prediction</t>",
      "<c r=\"A3\"><v>1</v></c>", "preserve\">Say \"hi\"\tthere</t>",
      "<c r=\"G3\" t=\"inlineStr\"><is><t xml:space=\"preserve\">D &amp; &lt;more&gt;</t>",
      "<c r=\"A4\"><v>1000000</v></c>",
    ] { #expect(text.contains(part), "\(part)") }
    #expect(!text.contains("l2-category"))
  }

  private func mmmu() throws -> BenchmarkFolder {
    let mmmu = try BenchmarkFolder(.mmmu)
    try mmmu.writePictures("all-images/1.png")
    func entry(_ id: String, _ type: String, _ choices: [String], _ image: String?) -> [String: Any]
    {
      var entry: [String: Any] = [
        "id": id, "prompt": "Ask \(id)", "question_type": type, "all_choices": choices,
        "index2ans": Dictionary(uniqueKeysWithValues: choices.map { ($0, "text \($0)") }),
      ]
      entry["image"] = image
      return entry
    }
    try mmmu.writeJSON(
      "anns_for_eval.json",
      [
        entry("validation_Art_Theory_1", "multiple-choice", ["A", "B"], "1.png"),
        entry("validation_Art_Theory_2", "multiple-choice", ["A", "B"], nil),
        entry("validation_Math_1", "open", [], "1.png"),
        entry("validation_Math_2", "open", [], nil),
      ])
    try mmmu.writeJSON(
      "answer_dict_val.json",
      [
        "validation_Art_Theory_1": ["question_type": "multiple-choice", "ground_truth": "B"],
        "validation_Art_Theory_2": ["question_type": "multiple-choice", "ground_truth": "A"],
        "validation_Math_1": ["question_type": "short-answer", "ground_truth": ["3.14", "pi"]],
        "validation_Math_2": ["question_type": "short-answer", "ground_truth": "7"],
      ])
    return mmmu
  }

  @Test("MMMU: options, open answers, guesses that a seed decides, subjects")
  func mmmuScore() throws {
    let mmmu = try mmmu()
    var asked: [String] = []
    let run = try mmmu.run {
      asked.append($0.text)
      return $0.text.contains("Math") ? "So the area is about 3.141" : "The answer is (B)."
    }
    #expect(asked == ["Ask validation_Art_Theory_1", "Ask validation_Math_1"])
    #expect(run.records[3].text == "INVALID GENERATION FOR MULTIPLE IMAGE INPUTS")
    #expect(try mmmu.questions(.textOnly).allSatisfy { $0.settled == nil })
    let reports = try (0..<20).map {
      try #require(try mmmu.benchmark.score(run.records, mmmu.files, seed: UInt64($0)))
    }
    // Some seeds guess right, others do not, and each does the same again.
    #expect(Set(reports.map { $0[.published]!.headline }) == [50, 75])
    #expect(try mmmu.benchmark.score(run.records, mmmu.files, seed: 7) == reports[7])
    #expect(Set(reports.map { $0[.corrected]!.headline }) == [50])
    #expect(reports[0][.published]?["Math"] == 50)
    #expect(reports[0][.published]?["guesses"] == 1)
    #expect(reports[0].reported == ["empty answer: validation_Art_Theory_2"])
  }

  @Test(
    "MMMU: what an open answer contains",
    arguments: [
      ("The result is 1,000.", ["1000"], true), ("x = 2.5", ["2.50"], true),
      ("It is Paris.", ["paris"], true), ("It is Paris", ["rome"], false),
      ("about 3.001", ["3"], true), ("banana", ["a"], false), ("option a is it", ["b"], false),
      ("6e2", ["600"], true), ("", ["x"], false), ("-4", ["4"], false),
      ("1.115", ["1.11"], true), ("3.141,000", ["3"], true), ("1_000", ["1000"], true),
      ("1__0", ["10"], false),
      ("0x10", ["16"], false), ("1e400", ["inf"], true), ("nan", ["nan"], false),
    ])
  func open(_ answer: String, _ references: [String], _ isRight: Bool) {
    #expect(OpenAnswer(answer).matches(references) == isRight)
  }

  @Test(
    "MMBench: options told without a judge",
    arguments: [
      ("A", "A"), ("B. blue", "B"), ("(C)", "C"), ("The answer is D.", "D"), ("Blue!", "B"),
      ("A green one and a red one", nil), ("A or B", nil), ("none of them", nil), ("", nil),
    ] as [(String, String?)])
  func inferred(_ answer: String, _ letter: String?) {
    let options = [("A", "red"), ("B", "blue"), ("C", "green"), ("D", "white")]
    #expect(InferredOption(options)(answer) == letter)
  }
}
