import Foundation

/// VQAv2: questions about everyday pictures, answered by ten people each. A server scores the test
/// set; annotations of the validation set are scored here.
///
/// Source: LLaVA's `convert_vqav2_for_submission.py`, and the benchmark's `vqaEval.py`.
struct VQAv2: Benchmark {
  let name = BenchmarkName.vqav2
  let title = "VQAv2"
  let layout = BenchmarkLayout(
    questions: ["llava_vqav2_mscoco_test-dev2015.jsonl"], images: ["test2015"],
    annotations: ["v2_mscoco_val2014_annotations.json"])

  /// Has every id that the server wants an answer for.
  private static let wholeTest = "llava_vqav2_mscoco_test2015.jsonl"

  private struct Annotations: Decodable {
    let annotations: [Annotation]
  }

  private struct Annotation: Decodable {
    struct Answer: Decodable { let answer: String }
    let id: RecordID
    let answers: [Answer]
    let kind: String?

    private enum CodingKeys: String, CodingKey {
      case answers
      case id = "question_id"
      case kind = "answer_type"
    }
  }

  func score(_ answers: [AnswerRecord], _ files: BenchmarkFiles, seed: UInt64) throws
    -> ScoreReport?
  {
    guard let file = try files.annotationsIfAny else { return nil }
    let annotations: Annotations = try InputFile.json(
      file, "annotations, a list of question_id and answers")
    var set = AnswerSet(answers)
    let given = set.byID()
    let known = Set(annotations.annotations.map { "\($0.id)" })
    set.noteUnknown(given, known: known.contains)
    for annotation in annotations.annotations where given["\(annotation.id)"] == nil {
      set.noteMissing("\(annotation.id)")
    }
    let scores = [Score.Rule.published, .corrected].map { rule in
      Self.score(rule, annotations.annotations, given)
    }
    return report(set, scores)
  }

  private static func score(
    _ rule: Score.Rule, _ annotations: [Annotation], _ given: [String: AnswerRecord]
  ) -> Score {
    let normalize = AnswerNormalizer(rule)
    var sums: [String: (sum: Double, count: Int)] = [:]
    for annotation in annotations {
      var references = annotation.answers.map(\.answer)
      // The server leaves references alone when all annotators agree.
      if rule == .corrected || Set(references).count > 1 {
        references = normalize(references)
      }
      let accuracy = given["\(annotation.id)"].map {
        SoftAccuracy.score(normalize($0.text), references)
      }
      for key in ["accuracy", annotation.kind ?? "other"] {
        let old = sums[key] ?? (0, 0)
        sums[key] = (old.sum + (accuracy ?? 0), old.count + 1)
      }
    }
    let figures = sums.sorted { $0.key < $1.key }
      .map { Figure($0.key, percentage($0.value.sum, of: $0.value.count)) }
    return Score(
      rule, headline: figures.first { $0.name == "accuracy" }?.value ?? 0, figures,
      note: rule == .published
        ? "references are normalised where annotators disagree" : "references are always normalised"
    )
  }

  /// One entry for each id of the whole test set, empty where there is no answer.
  func submissions(_ answers: [AnswerRecord], _ files: BenchmarkFiles, seed: UInt64) throws
    -> [SubmissionFile]
  {
    let normalize = AnswerNormalizer()
    let whole = files.folder.appendingPathComponent(Self.wholeTest)
    let isWhole = FileManager.default.fileExists(atPath: whole.path)
    let questions = try LLaVAQuestion.read(isWhole ? whole : files.questions)
    var set = AnswerSet(answers)
    let given = set.byID()
    let list = questions.map { question in
      OrderedJSON.object([
        ("question_id", question.id.json),
        ("answer", .string(given["\(question.id)"].map { normalize($0.text) } ?? "")),
      ])
    }
    return [SubmissionFile("vqav2.json", OrderedJSON.array(list).text)]
  }
}
