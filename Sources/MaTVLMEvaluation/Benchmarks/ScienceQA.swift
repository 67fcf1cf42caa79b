import Foundation

/// ScienceQA: school science with options, some of it with a picture.
///
/// Source: the authors' `tinyllava/eval/{model_vqa_science,eval_science_qa}.py`.
struct ScienceQA: Benchmark {
  let name = BenchmarkName.scienceqa
  let title = "ScienceQA"
  let layout = BenchmarkLayout(
    questions: ["llava_test_CQM-A.json"], images: ["images/test", "test"], annotations: ["."])
  let tokenLimit = 1024
  let prompts = [PromptVariant.published, .singleAnswer]

  private static let placeholder = "<image>"

  private struct Entry: Decodable {
    struct Message: Decodable { let value: String }
    let id: RecordID
    let image: String?
    let conversations: [Message]
  }

  func questions(_ files: BenchmarkFiles, _ prompt: PromptVariant) throws -> [Question] {
    let file = try files.questions
    let expected = "a list of objects with id and conversations"
    let entries: [Entry] = try InputFile.json(file, expected)
    return try entries.map { entry in
      guard let message = entry.conversations.first else {
        throw EvaluationError.malformed(
          path: file.path, place: "id \(entry.id)", expected: expected)
      }
      let text =
        message.value.pythonReplacing(Self.placeholder, with: "").pythonStripped() + prompt.suffix
      // Scoring tells questions with pictures by their recorded prompt.
      return Question(
        entry.id, text, recorded: entry.image == nil ? text : "\(Self.placeholder)\n\(text)",
        picture: entry.image.map { .file($0) })
    }
  }

  private struct SchoolProblem: Decodable {
    let choices: [String]
    let answer: Int
    let image: String?
  }

  func score(_ answers: [AnswerRecord], _ files: BenchmarkFiles, seed: UInt64) throws
    -> ScoreReport?
  {
    guard let folder = try files.annotationsIfAny else { return nil }
    let entries: [String: SchoolProblem] = try InputFile.json(
      folder.appendingPathComponent("problems.json"), "objects with choices and answer by id")
    let splits: [String: [RecordID]] = try InputFile.json(
      folder.appendingPathComponent("pid_splits.json"), "lists of ids by split")
    var set = AnswerSet(answers)
    let given = set.byID()
    let ids = (splits["test"] ?? []).map(\.description)
    set.noteUnknown(given) { Set(ids).contains($0) }
    for id in ids {
      if entries[id] == nil {
        set.problems.append(Problem(.missingAnnotation, id, "not in problems.json; not scored"))
      } else if given[id] == nil {
        set.noteMissing(id)
      }
    }
    let rows = ids.compactMap { id in entries[id].map { Row($0, given[id]) } }
    return report(set, [Self.score(.published, rows), Self.score(.corrected, rows)])
  }

  private struct Row {
    let choices: Int
    let answer: Int
    let hasImage: Bool
    let record: AnswerRecord?

    init(_ problem: SchoolProblem, _ record: AnswerRecord?) {
      (choices, answer) = (problem.choices.count, problem.answer)
      (hasImage, self.record) = (problem.image != nil, record)
    }

    func isAboutImage(_ rule: Score.Rule) -> Bool {
      let isRecorded = record?.prompt.pythonContains(ScienceQA.placeholder) ?? false
      return isRecorded || (rule == .corrected && hasImage)
    }
  }

  private static func score(_ rule: Score.Rule, _ rows: [Row]) -> Score {
    let letter = OptionLetter(rule)
    func isRight(_ row: Row) -> Bool {
      row.record.map { letter.option(in: $0.text, of: row.choices) == row.answer } ?? false
    }
    let images = rows.filter { $0.isAboutImage(rule) }
    let (right, rightImages) = (rows.count(where: isRight), images.count(where: isRight))
    let image = percentage(rightImages, of: images.count)
    return Score(
      rule, headline: image,
      [
        Figure("accuracy", percentage(right, of: rows.count)), Figure("image_accuracy", image),
        Figure("correct", Double(right)), Figure("samples", Double(rows.count)),
        Figure("image_samples", Double(images.count)),
      ],
      note: rule == .published
        ? "unanswered picture questions do not count for image_accuracy"
        : "every picture question counts; a letter may end the answer")
  }
}
