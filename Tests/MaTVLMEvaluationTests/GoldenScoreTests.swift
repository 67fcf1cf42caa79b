import Foundation
import MaTVLMEvaluation
import MaTVLMTestSupport
import Testing

@Suite("What the authors' scorers compute")
struct GoldenScoreTests {
  private struct Normalised: Decodable {
    let text: String
    let normalised: String
  }

  @Test("Every normalised string")
  func normalizer() throws {
    let cases: [Normalised] = try Fixtures.decode("vqa_normaliser.json")
    #expect(cases.count == 437)
    let normalize = AnswerNormalizer()
    for item in cases { #expect(normalize(item.text) == item.normalised, "\(item.text)") }
  }

  private struct SoftScores: Decodable {
    struct Case: Decodable {
      let prediction: String
      let references: [String]
      let score: Double

      private enum CodingKeys: String, CodingKey {
        case score
        case prediction = "pred_answer"
        case references = "gt_answers"
      }
    }
    let cases: [Case]
    let accuracy: Double?
    let mean: Double?
  }

  @Test("Soft accuracies of TextVQA, and their mean over answer and annotation files")
  func textVQA() throws {
    let golden: SoftScores = try Fixtures.decode("textvqa.json")
    let mean = try #require(golden.mean ?? golden.accuracy)
    let normalize = AnswerNormalizer()
    for item in golden.cases {
      let score = SoftAccuracy.score(
        normalize(item.prediction), item.references.map { normalize($0) })
      #expect(abs(score - item.score) < 1e-9)
    }
    let folder = try TemporaryFolder()
    let annotations = golden.cases.enumerated().map { index, item -> [String: Any] in
      ["image_id": "\(index)", "question": "What?", "answers": item.references]
    }
    try folder.write(
      "TextVQA_0.5.1_val.json", JSONSerialization.data(withJSONObject: ["data": annotations]))
    let answers = golden.cases.enumerated().map { index, item in
      AnswerRecord(
        questionID: .text("\(index)"), prompt: "What?\nShort.", text: item.prediction)
    }
    let benchmark = BenchmarkName.textvqa.benchmark
    let report = try #require(
      try benchmark.score(answers, BenchmarkFiles(folder.url, benchmark.layout), seed: 0))
    let headline = try #require(report[.published]?.headline)
    #expect(abs(headline / 100 - mean) < 1e-9)
  }

  private struct StoredPrompt: Decodable {
    let prompt: String
    let question: String
  }

  @Test("Questions recovered from stored prompts")
  func prompts() throws {
    let cases: [StoredPrompt] = try Fixtures.decode("textvqa_prompts.json")
    #expect(cases.count == 4)
    for item in cases { #expect(TextVQAPrompt.question(in: item.prompt) == item.question) }
    #expect(TextVQAPrompt.question(in: "one line") == nil)
  }

  @Test("POPE's output, figure by figure")
  func pope() throws {
    var files = Fixtures.files(.pope, in: "pope")
    files.questionFile = Fixtures.folder.appending(path: "pope/questions.jsonl")
    let report = try #require(
      try BenchmarkName.pope.benchmark.score(
        Fixtures.answers("pope/answers.jsonl"), files, seed: 0))
    let score = try #require(report[.published])
    // The rules differ in how they pair only, and here everything is in order.
    #expect(report[.corrected]?.figures == score.figures)
    let text = try Fixtures.text("pope/expected.txt")
    var figures = 0
    for block in text.components(separatedBy: "Category: ").dropFirst() {
      let lines = block.components(separatedBy: "\n")
      let head = lines[0].components(separatedBy: ", # samples: ")
      let counts = lines[2].split(separator: "\t").compactMap { Double($0) }
      let named = lines[3...7].map { $0.components(separatedBy: ": ")[1] }.compactMap { Double($0) }
      let expected = [Double(head[1])!] + counts + named
      let names = [
        "samples", "tp", "fp", "tn", "fn", "accuracy", "precision", "recall", "f1", "yes_ratio",
      ]
      #expect(names.map { score["\(head[0]).\($0)"] } == expected)
      figures += expected.count
    }
    #expect(figures == 30)
    let average = try #require(score["average_f1"])
    #expect(text.contains("Average F1: " + String(format: "%.3f", average)))
    #expect(score.headline == 100 * average)
    #expect(report.problems == [])
  }

  private struct ScienceQAResults: Decodable {
    let acc: Double
    let correct: Double
    let count: Double
    let results: [String: Int]
    let outputs: [String: String]
  }

  private struct SchoolProblem: Decodable { let choices: [String] }

  @Test("ScienceQA's accuracies and every parsed answer")
  func scienceQA() throws {
    let golden: ScienceQAResults = try Fixtures.decode("scienceqa/expected.json")
    let entries: [String: SchoolProblem] = try Fixtures.decode("scienceqa/problems.json")
    #expect(golden.results.count == 90)
    for (id, result) in golden.results {
      let text = try #require(golden.outputs[id])
      let count = try #require(entries[id]).choices.count
      #expect(OptionLetter().option(in: text, of: count) ?? -1 == result, "\(id): \(text)")
    }
    let report = try #require(
      try BenchmarkName.scienceqa.benchmark.score(
        Fixtures.answers("scienceqa/answers.jsonl"), Fixtures.files(.scienceqa, in: "scienceqa"),
        seed: 0))
    let score = try #require(report[.published])
    #expect(score["accuracy"] == golden.acc)
    #expect(score["correct"] == golden.correct)
    #expect(score["samples"] == golden.count)
    let line = String(
      format: "Total: %d, Correct: %d, Accuracy: %.2f%%, IMG-Accuracy: %.2f%%", Int(golden.count),
      Int(golden.correct), score["accuracy"]!, score.headline)
    #expect(try Fixtures.text("scienceqa/expected.txt").contains(line))
    let failed = golden.outputs.values.count { $0 == "FAILED" }
    #expect(report.problems.count { $0.kind == .missingAnswer } == failed)
  }

  private struct Choices: Decodable {
    struct Case: Decodable {
      let response: String
      let choice: String
    }
    let choices: [String]
    let index2ans: [String: String]
    let cases: [Case]
  }

  @Test("Options parsed from answers to MMMU")
  func options() throws {
    let golden: Choices = try Fixtures.decode("mmmu_parse.json")
    #expect(golden.cases.count >= 50)
    let chosen = ChosenOption(
      letters: golden.choices, options: golden.choices.map { ($0, golden.index2ans[$0]!) })
    for item in golden.cases { #expect(chosen(item.response) == item.choice, "\(item.response)") }
    #expect(chosen("nothing fits") == nil)
  }
}
