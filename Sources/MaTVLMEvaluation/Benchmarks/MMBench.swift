import Foundation

/// MMBench: questions with options, each asked with its options in every rotation. A server scores the
/// test set, and answers that name no option are judged by a language model there.
///
/// Source: the authors' `tinyllava/eval/model_vqa_mmbench.py`, LLaVA's
/// `convert_mmbench_for_submission.py`, and VLMEvalKit's circular evaluation.
struct MMBench: Benchmark {
  let name = BenchmarkName.mmbench
  let title = "MMBench"
  let layout = BenchmarkLayout(questions: ["mmbench_dev_20230712.tsv"])
  let tokenLimit = 1024
  let prompts = [PromptVariant.published, .singleAnswer, .singleAnswerChinese, .allRounds]

  private static let letters = ["A", "B", "C", "D"]
  /// Rotated copies of question i are numbered i + k · this.
  private static let period = 1_000_000

  /// One row of the table.
  private struct Row {
    let index: Int
    let question: String
    let hint: String?
    let options: [String]
    let answer: String?
    let category: String?
    let picture: Data

    /// The options moved to the left `number` times; the letters shown stay A, B, …
    func round(_ number: Int) -> OptionRound {
      func rotated(_ list: [String]) -> [String] {
        Array(list.dropFirst(number) + list.prefix(number))
      }
      return OptionRound(
        number: number, options: rotated(options),
        letters: rotated(Array(MMBench.letters.prefix(options.count))))
    }

    func text(_ round: OptionRound) -> String {
      (hint.map { $0 + "\n" } ?? "") + question
        + zip(MMBench.letters, round.options).map { "\n\($0). \($1)" }.joined()
    }

    /// The letter that an answer means before rotation; nil: only a judge could tell.
    func choice(in record: AnswerRecord) -> String? {
      let round = record.round ?? round(0)
      let shown = Array(zip(MMBench.letters, round.options))
      guard let letter = InferredOption(shown)(record.text),
        let place = MMBench.letters.firstIndex(of: letter), place < round.letters.count
      else { return nil }
      return round.letters[place]
    }
  }

  private static func rows(_ file: URL) throws -> [Row] {
    let table = try SeparatedTable(file)
    let (index, question, image) = try (
      table.column("index"), table.column("question"), table.column("image")
    )
    let options = try letters.compactMap { letter in
      letter == "A" || table.columns.contains(letter) ? try table.column(letter) : nil
    }
    let optional = ["hint", "answer", "category"].map { try? table.column($0) }
    return try (0..<table.count).map { row in
      guard let number = Int(table.text(row, index)) else {
        throw EvaluationError.malformed(
          path: file.path, place: "row \(row + 1)", expected: "a whole number as index")
      }
      let values = optional.map { $0.flatMap { table.value(row, $0) } }
      return Row(
        index: number, question: table.text(row, question), hint: values[0],
        options: options.map { table.value(row, $0) }.prefix { $0 != nil }.compactMap { $0 },
        answer: values[1], category: values[2], picture: table.bytes(row, image))
    }
  }

  func questions(_ files: BenchmarkFiles, _ prompt: PromptVariant) throws -> [Question] {
    try Self.rows(files.questions).flatMap { row in
      (0..<(prompt == .allRounds ? row.options.count : 1)).map { number in
        let round = row.round(number)
        let text = row.text(round)
        return Question(
          .number(row.index), text + prompt.suffix, recorded: text, picture: .base64(row.picture),
          round: round)
      }
    }
  }

  func score(_ answers: [AnswerRecord], _ files: BenchmarkFiles, seed: UInt64) throws
    -> ScoreReport?
  {
    let rows = try Self.rows(files.questions)
    guard rows.contains(where: { $0.answer != nil }) else { return nil }
    var set = AnswerSet(answers)
    let given = set.roundsByID()
    set.noteUnknown(given, known: Set(rows.map { "\($0.index)" }).contains)
    var judged: [(row: Row, isRight: Bool)] = []
    for row in rows {
      guard let answer = row.answer else {
        set.problems.append(
          Problem(.missingAnnotation, row.index, "no answer in its row; not scored"))
        continue
      }
      guard let rounds = given["\(row.index)"] else {
        set.noteMissing("\(row.index)")
        judged.append((row, false))
        continue
      }
      let choices = rounds.values.map { row.choice(in: $0) }
      if choices.contains(nil) {
        set.problems.append(Problem(.unmatchedAnswer, row.index, "counts as wrong"))
      }
      judged.append((row, choices.allSatisfy { $0 == answer }))
    }
    return report(set, [Self.score(judged)])
  }

  private static func score(_ judged: [(row: Row, isRight: Bool)]) -> Score {
    let groups = Dictionary(grouping: judged) { $0.row.index % period }.values
    func circular(_ groups: [[(row: Row, isRight: Bool)]]) -> Double {
      percentage(groups.count { $0.allSatisfy(\.isRight) }, of: groups.count)
    }
    let unrotated = judged.filter { $0.row.index < period }
    let categories = Dictionary(grouping: groups) { $0[0].row.category ?? "none" }
    let accuracy = circular(Array(groups))
    return Score(
      .published, headline: accuracy,
      [
        Figure("circular", accuracy), Figure("samples", Double(groups.count)),
        Figure("unrotated", percentage(unrotated.count(where: \.isRight), of: unrotated.count)),
      ] + categories.sorted { $0.key < $1.key }.map { Figure($0.key, circular($0.value)) },
      note: "without the judge that reads answers which name no option")
  }

  /// The table without pictures, with a column of answers, as a spreadsheet.
  func submissions(_ answers: [AnswerRecord], _ files: BenchmarkFiles, seed: UInt64) throws
    -> [SubmissionFile]
  {
    let table = try SeparatedTable(files.questions)
    let index = try table.column("index")
    var set = AnswerSet(answers)
    let given = set.byID()
    let left: Set = ["hint", "category", "source", "image", "comment", "l2-category"]
    let kept = table.columns.indices.filter { !left.contains(table.columns[$0]) }
    let place = min(6, kept.count)
    var rows = [kept.map { table.columns[$0] }]
    rows[0].insert("prediction", at: place)
    for row in 0..<table.count {
      var cells = kept.map { table.value(row, $0) ?? "" }
      cells.insert(given[table.text(row, index)]?.text ?? "", at: place)
      rows.append(cells)
    }
    return [SubmissionFile("mmbench.xlsx", bytes: try Spreadsheet(rows: rows).bytes())]
  }
}
