import Foundation

/// MMMU, validation set: college exams, with options or open.
///
/// Source: the authors' `tinyllava/eval/model_vqa_mmmu.py`, and `eval/main_eval_only.py` of the
/// benchmark.
struct MMMU: Benchmark {
  let name = BenchmarkName.mmmu
  let title = "MMMU"
  let layout = BenchmarkLayout(
    questions: ["anns_for_eval.json"], images: ["all-images", "images"],
    annotations: ["answer_dict_val.json"])
  let tokenLimit = 1024
  let prompts = [PromptVariant.published, .textOnly]

  /// What the authors' script answers to an open question that has no single picture.
  private static let refusal = "INVALID GENERATION FOR MULTIPLE IMAGE INPUTS"

  private struct Entry: Decodable {
    let id: String
    let prompt: String
    let image: String?
    let kind: String
    let choices: [String]?
    let index2ans: [String: String]?

    private enum CodingKeys: String, CodingKey {
      case id, prompt, image, index2ans
      case kind = "question_type"
      case choices = "all_choices"
    }

    var letters: [String] { choices ?? [] }
    var hasOptions: Bool { kind == "multiple-choice" && !letters.isEmpty }

    /// The option that `text` chooses, or a guess.
    func choice(in text: String, seed: UInt64) -> (letter: String, isGuess: Bool) {
      let options = letters.compactMap { letter in index2ans?[letter].map { (letter, $0) } }
      if let letter = ChosenOption(letters: letters, options: options)(text) {
        return (letter, false)
      }
      return (SeededChoice.element(of: letters, for: id, seed: seed) ?? "", true)
    }
  }

  private static func entries(_ files: BenchmarkFiles) throws -> [Entry] {
    try InputFile.json(
      files.questions, "a list of id, prompt, question_type, all_choices, index2ans")
  }

  func questions(_ files: BenchmarkFiles, _ prompt: PromptVariant) throws -> [Question] {
    try Self.entries(files).map { entry in
      guard entry.image == nil, prompt == .published else {
        return Question(.text(entry.id), entry.prompt, picture: entry.image.map { .file($0) })
      }
      // An empty answer chooses nothing, and is guessed when it is scored.
      return Question(
        .text(entry.id), entry.prompt, settled: entry.hasOptions ? "" : Self.refusal)
    }
  }

  /// For each answer what it is taken for.
  private static func parsed(
    _ given: [String: AnswerRecord], _ files: BenchmarkFiles, seed: UInt64
  ) throws -> [(entry: Entry, text: String, isGuess: Bool)] {
    try entries(files).compactMap { entry in
      guard let record = given[entry.id] else { return nil }
      guard entry.hasOptions else { return (entry, record.text, false) }
      let choice = entry.choice(in: record.text, seed: seed)
      return (entry, choice.letter, choice.isGuess)
    }
  }

  func score(_ answers: [AnswerRecord], _ files: BenchmarkFiles, seed: UInt64) throws
    -> ScoreReport?
  {
    guard let file = try files.annotationsIfAny else { return nil }
    let truths: [String: MMMUTruth] = try InputFile.json(
      file, "objects with question_type and ground_truth by id")
    var set = AnswerSet(answers)
    let given = set.byID()
    set.noteUnknown(given) { truths[$0] != nil }
    let parsed = try Self.parsed(given, files, seed: seed)
    let byID = Dictionary(parsed.map { ($0.entry.id, $0) }, uniquingKeysWith: { $1 })
    for id in truths.keys.sorted() where byID[id] == nil { set.noteMissing(id) }
    let judged = truths.sorted { $0.key < $1.key }.map { id, truth in
      let answer = byID[id]
      return (
        subject: Self.subject(of: id), isGuess: answer?.isGuess ?? false,
        isRight: answer.map { truth.accepts($0.text) } ?? false
      )
    }
    return report(
      set,
      [
        Self.score(
          .published, judged.map { ($0.subject, $0.isRight) }, judged.count(where: \.isGuess)),
        Self.score(
          .corrected, judged.map { ($0.subject, $0.isRight && !$0.isGuess) },
          judged.count(where: \.isGuess)),
      ])
  }

  private static func score(
    _ rule: Score.Rule, _ judged: [(subject: String, isRight: Bool)], _ guesses: Int
  ) -> Score {
    let accuracy = percentage(judged.count(where: \.isRight), of: judged.count)
    let subjects = Dictionary(grouping: judged, by: \.subject).sorted { $0.key < $1.key }
    return Score(
      rule, headline: accuracy,
      [
        Figure("accuracy", accuracy), Figure("samples", Double(judged.count)),
        Figure("guesses", Double(guesses)),
      ]
        + subjects.map {
          Figure($0.key, percentage($0.value.count(where: \.isRight), of: $0.value.count))
        },
      note: rule == .published
        ? "an answer that names no option is a seeded guess"
        : "an answer that names no option is wrong")
  }

  /// `Art_Theory` of `validation_Art_Theory_3`.
  static func subject(of id: String) -> String {
    id.pythonSplit("_").dropFirst().dropLast().joined(separator: "_")
  }

  func submissions(_ answers: [AnswerRecord], _ files: BenchmarkFiles, seed: UInt64) throws
    -> [SubmissionFile]
  {
    var set = AnswerSet(answers)
    let members = try Self.parsed(set.byID(), files, seed: seed).map {
      ($0.entry.id, OrderedJSON.string($0.text))
    }
    return [SubmissionFile("mmmu.json", OrderedJSON.object(members).text)]
  }
}

/// The right answer to a question of MMMU.
private struct MMMUTruth: Decodable {
  private let hasOptions: Bool
  private let references: [String]

  private enum Key: String, CodingKey {
    case kind = "question_type"
    case references = "ground_truth"
  }

  init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: Key.self)
    hasOptions = try values.decode(String.self, forKey: .kind) == "multiple-choice"
    references =
      try (try? values.decode([String].self, forKey: .references))
      ?? [values.decode(String.self, forKey: .references)]
  }

  func accepts(_ answer: String) -> Bool {
    hasOptions ? references.contains(answer) : OpenAnswer(answer).matches(references)
  }
}
