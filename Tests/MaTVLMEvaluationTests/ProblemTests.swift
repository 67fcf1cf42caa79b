import Foundation
import MaTVLMEvaluation
import MaTVLMTestSupport
import Testing

@Suite("Files that are not as they should be")
struct ProblemTests {
  @Test("POPE: what does not fit is reported by id, and the rest is scored")
  func pope() throws {
    let pope = try BenchmarkFolder(.pope)
    func question(_ id: Int, _ category: String) -> [String: Any] {
      ["question_id": id, "image": "\(id).png", "text": "Is there a \(id)?", "category": category]
    }
    try pope.writeLines(
      "llava_pope_test.jsonl",
      [question(1, "random"), question(2, "strange"), question(3, "random"), question(4, "random")])
    try pope.writeLines(
      "coco/coco_pope_random.json",
      [1, 4].map { ["image": "\($0).png", "text": "Is there a \($0)?", "label": "yes"] })
    let report = try #require(
      try pope.score([
        ("1", "", "yes"), ("1", "", "yes"), ("2", "", "yes"), ("3", "", ""), ("9", "", "yes"),
      ]))
    #expect(
      Set(report.reported) == [
        "empty answer: 3", "missing annotation: 9", "unknown category: 2", "duplicate id: 1",
        "missing answer: 4", "counts differ: random", "missing annotation: 3",
      ])
    #expect(report[.corrected]?["random.tp"] == 2)
  }

  @Test("MME and TextVQA: answers to unknown questions, unknown categories")
  func unknownQuestions() throws {
    let mme = try BenchmarkFolder(.mme)
    try mme.write(
      "MME_Benchmark_release_version/weather/1.txt", "Rain? Please answer yes or no.\tYes\n")
    let report = try #require(
      try mme.score([("weather/1.png", "Rain?", "yes"), ("existence/1.png", "Cat?", "no")]))
    #expect(
      report.reported == [
        "missing annotation: existence/1.png", "unknown category: weather/1.png",
        "counts differ: weather/1.txt",
      ])
    #expect(report[.published]?.headline == 0)

    let textVQA = try BenchmarkFolder(.textvqa)
    try textVQA.writeJSON(
      "TextVQA_0.5.1_val.json",
      ["data": [["image_id": "i", "question": "What?", "answers": ["x"]]]])
    let score = try #require(
      try textVQA.score([("i", "What?\nShort.", ""), ("j", "one line", "x")]))
    #expect(score.reported == ["empty answer: i", "missing annotation: j"])
    #expect(score[.published]?["samples"] == 1)
  }

  @Test("GQA, MMMU and ScienceQA: missing and unknown ids")
  func missing() throws {
    let gqa = try BenchmarkFolder(.gqa)
    try gqa.writeJSON(
      "testdev_balanced_questions.json", ["1": ["answer": "x"], "2": ["answer": "x"]])
    let report = try #require(try gqa.score([("1", "", "x"), ("3", "", "x"), ("1", "", "y")]))
    #expect(report.reported == ["duplicate id: 1", "missing annotation: 3", "missing answer: 2"])
    #expect(report[.published]?.headline == 0)

    let mmmu = try BenchmarkFolder(.mmmu)
    try mmmu.writeJSON("anns_for_eval.json", [Any]())
    try mmmu.writeJSON(
      "answer_dict_val.json", ["v_Art_1": ["question_type": "open", "ground_truth": "x"]])
    let art = try #require(try mmmu.score([("v_Art_2", "", "x")]))
    #expect(art.reported == ["missing annotation: v_Art_2", "missing answer: v_Art_1"])

    let science = try BenchmarkFolder(.scienceqa)
    try science.writeJSON("problems.json", ["1": ["choices": ["x"], "answer": 0]])
    try science.writeJSON("pid_splits.json", ["test": [1, "2"]])
    let school = try #require(try science.score([("1", "", "A"), ("5", "", "A")]))
    #expect(school.reported == ["missing annotation: 5", "missing annotation: 2"])
    #expect(school[.published]?["accuracy"] == 100)
  }

  @Test("MMBench: a row without an answer, an answer without an option")
  func mmBench() throws {
    let mmBench = try BenchmarkFolder(.mmbench)
    try mmBench.write(
      "mmbench_dev_20230712.tsv",
      "index\tquestion\tA\tB\tanswer\timage\n1\tQ\tx\ty\tA\tzz\n2\tQ\tx\ty\t\tzz\n3\tQ\tx\ty\tB\tzz\n"
    )
    let report = try #require(try mmBench.score([("1", "", "neither"), ("2", "", "A")]))
    #expect(
      report.reported == [
        "answer without an option: 1", "missing annotation: 2", "missing answer: 3",
      ])
    // A picture that is none.
    let run = try mmBench.run { _ in "A" }
    #expect(run.problems.map(\.id) == ["1", "2", "3"])
    #expect(run.records.count == 3)
  }

  /// Question files that are not of their shape, and what the message must have.
  static let broken: [(BenchmarkName, String, String, [String])] = [
    (
      .pope, "llava_pope_test.jsonl",
      "{\"question_id\": 1, \"text\": \"x\"}\n{\"question_id\": 2}\n", ["line 2", "text"]
    ),
    (.gqa, "llava_gqa_testdev_balanced.jsonl", "[1]", ["line 1"]),
    (
      .scienceqa, "llava_test_CQM-A.json", "[{\"id\": \"4\", \"conversations\": []}]",
      ["id 4", "conversations"]
    ),
    (.scienceqa, "llava_test_CQM-A.json", "{}", ["list"]),
    (.mmmu, "anns_for_eval.json", "[{\"id\": \"x\"}]", ["prompt"]),
    (.mmbench, "mmbench_dev_20230712.tsv", "", ["names"]),
    (.mmbench, "mmbench_dev_20230712.tsv", "index\tquestion\n1\tx\n", ["image"]),
    (
      .mmbench, "mmbench_dev_20230712.tsv", "index\tquestion\tA\timage\n1\tx\ty\n",
      ["row 1", "4 fields"]
    ),
    (
      .mmbench, "mmbench_dev_20230712.tsv", "index\tquestion\tA\timage\nx\tx\ty\tz\n",
      ["row 1", "index"]
    ),
    (.mmbench, "mmbench_dev_20230712.tsv", "index\tquestion\tA\timage\n1\t\"x\ty\tz\n", ["row 1"]),
  ]

  @Test("A question file of another shape is named with its place", arguments: broken)
  func brokenFiles(_ file: (name: BenchmarkName, path: String, text: String, words: [String]))
    throws
  {
    let folder = try BenchmarkFolder(file.name)
    try folder.write(file.path, file.text)
    #expect {
      _ = try folder.questions()
    } throws: { error in
      error is EvaluationError && (file.words + [file.path]).allSatisfy { "\(error)".contains($0) }
    }
  }

  @Test(
    "A file that is not there is named, with the option that gives it",
    arguments: BenchmarkName.allCases)
  func missingFile(_ name: BenchmarkName) throws {
    let folder = try BenchmarkFolder(name)
    #expect {
      _ = try folder.questions()
    } throws: {
      "\($0)".contains(name.benchmark.layout.questions[0]) && "\($0)".contains("--questions")
    }
  }
}
