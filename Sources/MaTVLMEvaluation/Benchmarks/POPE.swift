import Foundation

/// POPE: is there a … in the picture? Three ways of choosing what is asked for.
///
/// Source: the authors' `tinyllava/eval/eval_pope.py`.
struct POPE: Benchmark {
  let name = BenchmarkName.pope
  let title = "POPE"
  let layout = BenchmarkLayout(
    questions: ["llava_pope_test.jsonl"], images: ["val2014"], annotations: ["coco"])

  func score(_ answers: [AnswerRecord], _ files: BenchmarkFiles, seed: UInt64) throws
    -> ScoreReport?
  {
    guard let folder = try files.annotationsIfAny else { return nil }
    var set = AnswerSet(answers)
    let questions = try Dictionary(
      LLaVAQuestion.read(files.questions).map { ("\($0.id)", $0) }, uniquingKeysWith: { $1 })
    let categories = try POPECategory.read(folder)
    var byCategory: [String: [POPECategory.Answered]] = [:]
    for record in answers {
      guard let question = questions["\(record.questionID)"] else {
        set.problems.append(
          Problem(.missingAnnotation, record.questionID, "not in the question file; not scored"))
        continue
      }
      byCategory[question.category ?? "", default: []].append((question, record))
    }
    for category in byCategory.keys.sorted()
    where !categories.contains(where: { $0.name == category }) {
      for (question, _) in byCategory[category]! {
        set.problems.append(
          Problem(.unknownCategory, question.id, "no labels for '\(category)'; not scored"))
      }
    }
    let given = set.byID()
    for id in questions.keys.sorted() where given[id] == nil { set.noteMissing(id) }
    let scores = [Score.Rule.published, .corrected].map { rule in
      Self.score(
        rule,
        categories.map { category in
          (category.name, category.confusion(byCategory[category.name] ?? [], rule, &set.problems))
        })
    }
    return report(set, scores)
  }

  private static func score(_ rule: Score.Rule, _ parts: [(name: String, counts: Confusion)])
    -> Score
  {
    let sum = parts.reduce(0.0) { $0 + $1.counts.f1 }
    let average = parts.isEmpty ? 0 : sum / Double(parts.count)
    return Score(
      rule, headline: 100 * average,
      parts.flatMap { $1.figures($0) } + [Figure("average_f1", average)],
      note: rule == .published
        ? "answers and labels paired by their order"
        : "answers and labels paired by picture and question")
  }
}

/// The labels of one category.
struct POPECategory {
  typealias Answered = (question: LLaVAQuestion, record: AnswerRecord)

  let name: String
  private let labels: [Label]

  private struct Label: Decodable {
    let image: String?
    let text: String?
    let label: String
  }

  /// Every `coco_pope_….json` of a folder.
  static func read(_ folder: URL) throws -> [POPECategory] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    let categories = try names.sorted().compactMap { file -> POPECategory? in
      guard let match = file.wholeMatch(of: /coco_pope_(.+)\.json/) else { return nil }
      return POPECategory(
        name: String(match.1),
        labels: try InputFile.jsonLines(folder.appendingPathComponent(file), "an object with label")
      )
    }
    guard !categories.isEmpty else {
      throw EvaluationError.missing(
        path: folder.path, role: "file coco_pope_*.json", option: "--annotations")
    }
    return categories
  }

  /// - Parameter problems: gets what does not pair up; the same things only once for both rules.
  func confusion(_ answers: [Answered], _ rule: Score.Rule, _ problems: inout [Problem])
    -> Confusion
  {
    var counts = Confusion()
    if rule == .published {
      if answers.count != labels.count {
        problems.append(
          Problem(
            .count, name,
            "\(answers.count) answers and \(labels.count) labels; the published pairing is off"))
      }
      for (answer, label) in zip(answers, labels) {
        counts.count(said: Self.saysYes(answer.record.text), label: label.label != "no")
      }
      return counts
    }
    let byQuestion = Dictionary(
      labels.map { (Self.key($0.image, $0.text), $0.label) }, uniquingKeysWith: { $1 })
    for answer in answers {
      guard let label = byQuestion[Self.key(answer.question.image, answer.question.text)] else {
        problems.append(
          Problem(.missingAnnotation, answer.question.id, "no label in \(name); not scored"))
        continue
      }
      counts.count(said: Self.saysYes(answer.record.text), label: label != "no")
    }
    return counts
  }

  /// Questions go on after their first line.
  private static func key(_ image: String?, _ text: String?) -> [String] {
    [image ?? "", (text ?? "").pythonSplit("\n")[0]]
  }

  /// Yes, unless the first sentence has a word that denies.
  static func saysYes(_ text: String) -> Bool {
    let words = text.pythonSplit(".")[0].pythonReplacing(",", with: "").pythonSplit(" ")
    return !words.contains { $0 == "No" || $0 == "not" || $0 == "no" }
  }
}
