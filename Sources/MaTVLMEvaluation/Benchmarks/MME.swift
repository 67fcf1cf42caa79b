import Foundation

/// MME: pairs of yes-or-no questions about each picture, in fourteen categories.
///
/// Source: LLaVA's `convert_answer_to_mme.py`, and `calculation.py` of the benchmark.
struct MME: Benchmark {
  let name = BenchmarkName.mme
  let title = "MME"
  let layout = BenchmarkLayout(
    questions: ["llava_mme.jsonl"], images: ["MME_Benchmark_release_version"],
    annotations: ["MME_Benchmark_release_version"])
  let hasUniqueIDs = false

  private static let perception = [
    "existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark",
    "artwork", "OCR",
  ]
  private static let cognition = [
    "commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning",
  ]

  func score(_ answers: [AnswerRecord], _ files: BenchmarkFiles, seed: UInt64) throws
    -> ScoreReport?
  {
    guard let folder = try files.annotationsIfAny else { return nil }
    var set = AnswerSet(answers)
    let truth = try MMETruth(folder)
    let judged = Self.judged(&set, truth)
    let answered = Set(judged.map { [$0.category, $0.file, $0.question] })
    for key in truth.questions where !answered.contains(key) {
      set.problems.append(
        Problem(
          .missingAnswer, "\(key[0])/\(key[1])", "'\(key[2])'; its picture is not right as a whole")
      )
    }
    let categories = Dictionary(grouping: judged, by: \.category)
    for (category, answers) in categories.sorted(by: { $0.key < $1.key })
    where !(Self.perception + Self.cognition).contains(category) {
      set.problems += answers.map {
        Problem(.unknownCategory, $0.record.questionID, "'\(category)' is not scored")
      }
    }
    let scores = categories.mapValues { CategoryScore($0, &set.problems) }
    func points(_ names: [String]) -> Double {
      names.reduce(0) { $0 + (scores[$1]?.points ?? 0) }
    }
    let figures = (Self.perception + Self.cognition).flatMap { name -> [Figure] in
      guard let score = scores[name] else { return [] }
      return [
        Figure("\(name).acc", score.acc), Figure("\(name).acc_plus", score.accPlus),
        Figure("\(name).score", score.points),
      ]
    }
    let (perception, cognition) = (points(Self.perception), points(Self.cognition))
    return report(
      set,
      [
        Score(
          .published, headline: perception,
          [Figure("perception", perception), Figure("cognition", cognition)] + figures)
      ])
  }

  /// What the benchmark's `calculation.py` reads: a file of each category.
  func submissions(_ answers: [AnswerRecord], _ files: BenchmarkFiles, seed: UInt64) throws
    -> [SubmissionFile]
  {
    guard let folder = try files.annotationsIfAny else { return [] }
    var set = AnswerSet(answers)
    let judged = Self.judged(&set, try MMETruth(folder))
    return Dictionary(grouping: judged, by: \.category).sorted { $0.key < $1.key }.map {
      let lines = $1.map { answer in
        let text = answer.record.text.pythonReplacing("\n", with: " ")
          .pythonReplacing("\t", with: " ")
        return "\(answer.file)\t\(answer.question)\t\(answer.isYes ? "Yes" : "No")\t\(text)\n"
      }
      return SubmissionFile("mme/\($0).txt", lines.joined())
    }
  }

  fileprivate struct Judged {
    let category: String
    let file: String
    let question: String
    let isYes: Bool
    let record: AnswerRecord

    /// yes, no, or nil for anything else, which is wrong.
    var saysYes: Bool? {
      let text = record.text.lowercased()
      let start = String(scalars: text.unicodeScalars.prefix(4))
      if text == "yes" || start.pythonContains("yes") { return true }
      return text == "no" || start.pythonContains("no") ? false : nil
    }

    var isRight: Bool { saysYes == isYes }
  }

  private static func judged(_ set: inout AnswerSet, _ truth: MMETruth) -> [Judged] {
    set.records.compactMap { record in
      let parts = "\(record.questionID)".pythonSplit("/")
      let (category, file) = (parts[0], parts[parts.count - 1].pythonSplit(".")[0] + ".txt")
      guard let (question, isYes) = truth.find(category, file, record.prompt) else {
        set.problems.append(
          Problem(.missingAnnotation, record.questionID, "'\(record.prompt)'; not scored"))
        return nil
      }
      return Judged(
        category: category, file: file, question: question, isYes: isYes, record: record)
    }
  }
}

/// Percentages of a category, of 100 each: right questions, and pictures with both right.
private struct CategoryScore {
  let acc: Double
  let accPlus: Double
  var points: Double { acc + accPlus }

  init(_ answers: [MME.Judged], _ problems: inout [Problem]) {
    let pictures = Dictionary(grouping: answers, by: \.file)
    for (file, answers) in pictures.sorted(by: { $0.key < $1.key }) where answers.count != 2 {
      problems.append(
        Problem(
          .count, "\(answers[0].category)/\(file)",
          "\(answers.count) answers where the benchmark has 2; the picture is not right as a whole")
      )
    }
    acc = percentage(answers.count(where: \.isRight), of: answers.count)
    accPlus = percentage(
      pictures.values.count { $0.count == 2 && $0.allSatisfy(\.isRight) }, of: pictures.count)
  }
}

/// The right answers, in one text file for each picture.
private struct MMETruth {
  private var answers: [[String]: Bool] = [:]
  /// Category, file and question, of each that has a right answer.
  var questions: [[String]] { answers.keys.sorted { $0.lexicographicallyPrecedes($1) } }

  init(_ folder: URL) throws {
    let manager = FileManager.default
    for category in try Self.names(in: folder) {
      var files = folder.appendingPathComponent(category)
      let nested = files.appendingPathComponent("questions_answers_YN")
      if manager.fileExists(atPath: nested.path) { files = nested }
      guard let names = try? Self.names(in: files) else { continue }
      for name in names where name.hasSuffix(".txt") {
        try read(files.appendingPathComponent(name), category, name)
      }
    }
  }

  private static func names(in folder: URL) throws -> [String] {
    do {
      return try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    } catch {
      throw EvaluationError.unreadable(path: folder.path, reason: "it is not a folder")
    }
  }

  private mutating func read(_ file: URL, _ category: String, _ name: String) throws {
    let lines = try InputFile.text(file).pythonSplit("\n")
    for (number, line) in lines.enumerated() where !line.pythonStripped().isEmpty {
      let parts = line.pythonStripped().pythonSplit("\t")
      guard parts.count == 2 else {
        throw EvaluationError.malformed(
          path: file.path, place: "line \(number + 1)", expected: "a question, a tab and Yes or No")
      }
      answers[[category, name, parts[0]]] = parts[1].lowercased() == "yes"
    }
  }

  private static let instruction = "Answer the question using a single word or phrase."
  private static let request = "Please answer yes or no."

  /// The question as the benchmark has it, and whether it is to be answered by yes.
  func find(_ category: String, _ file: String, _ prompt: String) -> (String, Bool)? {
    var question = prompt
    if question.pythonContains(Self.instruction) {
      question = question.pythonReplacing(Self.instruction, with: "").pythonStripped()
    }
    // Some of the benchmark's files have two spaces.
    let forms =
      question.pythonContains(Self.request)
      ? [question] : [question + " " + Self.request, question + "  " + Self.request]
    return forms.lazy.compactMap { form in
      answers[[category, file, form]].map { (form, $0) }
    }.first
  }
}
