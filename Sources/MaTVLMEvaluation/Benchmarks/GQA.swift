import Foundation

/// GQA: compositional questions about real pictures.
///
/// Source: LLaVA's `convert_gqa_for_eval.py`, and `eval.py` of the benchmark.
struct GQA: Benchmark {
  let name = BenchmarkName.gqa
  let title = "GQA"
  let layout = BenchmarkLayout(
    questions: ["llava_gqa_testdev_balanced.jsonl"], images: ["data/images", "images"],
    annotations: ["data/testdev_balanced_questions.json", "testdev_balanced_questions.json"])

  private struct Annotation: Decodable {
    struct Types: Decodable { let structural: String? }
    let answer: String
    let types: Types?
    var isOpen: Bool { types?.structural == "query" }
  }

  /// As it is compared: without a final period, lower-case.
  private static func prediction(_ text: String) -> String {
    text.pythonStripped(ending: ".").lowercased()
  }

  func score(_ answers: [AnswerRecord], _ files: BenchmarkFiles, seed: UInt64) throws
    -> ScoreReport?
  {
    guard let file = try files.annotationsIfAny else { return nil }
    let annotations: [String: Annotation] = try InputFile.json(
      file, "objects with answer by question id")
    var set = AnswerSet(answers)
    let given = set.byID()
    set.noteUnknown(given) { annotations[$0] != nil }
    var (right, all) = ([true: 0, false: 0], [true: 0, false: 0])
    for (id, annotation) in annotations.sorted(by: { $0.key < $1.key }) {
      all[annotation.isOpen, default: 0] += 1
      guard let record = given[id] else {
        set.noteMissing(id)
        continue
      }
      if Self.prediction(record.text) == annotation.answer {
        right[annotation.isOpen, default: 0] += 1
      }
    }
    let accuracy = percentage(right[true]! + right[false]!, of: annotations.count)
    return report(
      set,
      [
        Score(
          .published, headline: accuracy,
          [
            Figure("accuracy", accuracy), Figure("samples", Double(annotations.count)),
            Figure("open", percentage(right[true]!, of: all[true]!)),
            Figure("binary", percentage(right[false]!, of: all[false]!)),
          ])
      ])
  }

  func submissions(_ answers: [AnswerRecord], _ files: BenchmarkFiles, seed: UInt64) throws
    -> [SubmissionFile]
  {
    let list = answers.map {
      OrderedJSON.object([
        ("questionId", $0.questionID.json), ("prediction", .string(Self.prediction($0.text))),
      ])
    }
    return [SubmissionFile("testdev_balanced_predictions.json", OrderedJSON.array(list).text)]
  }
}
