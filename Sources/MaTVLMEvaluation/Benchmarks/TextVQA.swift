import Foundation

/// TextVQA: reading text in pictures.
///
/// Source: the authors' `tinyllava/eval/eval_textvqa.py` and `m4c_evaluator.py`.
struct TextVQA: Benchmark {
  let name = BenchmarkName.textvqa
  let title = "TextVQA"
  let layout = BenchmarkLayout(
    questions: ["llava_textvqa_val_v051_ocr.jsonl"], images: ["train_images"],
    annotations: ["TextVQA_0.5.1_val.json"])
  let prompts = [PromptVariant.published, .withoutOCR]
  let hasUniqueIDs = false

  func questions(_ files: BenchmarkFiles, _ prompt: PromptVariant) throws -> [Question] {
    try LLaVAQuestion.read(files.questions).map { line in
      guard prompt == .withoutOCR else { return line.question }
      let lines = line.text.pythonSplit("\n").filter { !$0.hasPrefix(TextVQAPrompt.ocrLine) }
      return Question(
        line.id, lines.joined(separator: "\n"), picture: line.image.map { .file($0) })
    }
  }

  private struct Annotations: Decodable {
    let data: [Annotation]
  }

  private struct Annotation: Decodable {
    let imageID: RecordID
    let question: String
    let answers: [String]?

    private enum CodingKeys: String, CodingKey {
      case question, answers
      case imageID = "image_id"
    }
  }

  func score(_ answers: [AnswerRecord], _ files: BenchmarkFiles, seed: UInt64) throws
    -> ScoreReport?
  {
    guard let file = try files.annotationsIfAny else { return nil }
    let annotations: Annotations = try InputFile.json(
      file, "data, a list of image_id, question and answers")
    let references = Dictionary(
      annotations.data.map { (["\($0.imageID)", $0.question.lowercased()], $0.answers ?? []) },
      uniquingKeysWith: { $1 })
    var set = AnswerSet(answers)
    var pairs: [(answer: String, references: [String])] = []
    for record in answers {
      let question = TextVQAPrompt.question(in: record.prompt) ?? ""
      guard let known = references[["\(record.questionID)", question]], !known.isEmpty else {
        set.problems.append(
          Problem(.missingAnnotation, record.questionID, "question '\(question)'; not scored"))
        continue
      }
      pairs.append((record.text, known))
    }
    if pairs.count < references.count {
      set.problems.append(
        Problem(.count, "all", "\(pairs.count) answers scored of \(references.count) questions"))
    }
    return report(
      set, [Self.score(.published, pairs), Self.score(.corrected, pairs)])
  }

  /// The mean of soft accuracies.
  private static func score(
    _ rule: Score.Rule, _ pairs: [(answer: String, references: [String])]
  ) -> Score {
    let normalize = AnswerNormalizer(rule)
    let sum = pairs.reduce(0.0) {
      $0 + SoftAccuracy.score(normalize($1.answer), normalize($1.references))
    }
    let accuracy = percentage(sum, of: pairs.count)
    return Score(
      rule, headline: accuracy,
      [Figure("accuracy", accuracy), Figure("samples", Double(pairs.count))],
      note: rule == .published ? "" : "normaliser without the slips of the published one")
  }
}
