/// Which line of an answers file answers which question. Ids alone do not tell: both questions about a
/// picture of MME have one id, and so have all about a picture of TextVQA.
struct AnswerLedger {
  private struct Key: Hashable {
    let id: String
    let prompt: String
    let round: Int
  }

  private struct Line {
    let number: Int
    let isFailure: Bool
  }

  /// Questions of each key, in order.
  private var places: [Key: [Int]] = [:]
  private var lines: [Line?]
  /// Lines that were added.
  private(set) var lineCount = 0

  init(_ questions: some Collection<Question>) {
    lines = Array(repeating: nil, count: questions.count)
    for (index, question) in questions.enumerated() {
      let key = Key(
        id: "\(question.id)", prompt: question.recorded, round: question.round?.number ?? 0)
      places[key, default: []].append(index)
    }
  }

  /// Takes in the next line. One that follows a failed one of the same question replaces it.
  /// - Returns: nil, or why the line does not belong here.
  mutating func add(_ record: AnswerRecord) -> String? {
    let key = Key(
      id: "\(record.questionID)", prompt: record.prompt, round: record.round?.number ?? 0)
    let name = "line \(lineCount + 1) answers \(record.questionID)"
    guard let places = places[key] else { return "\(name), which is not asked" }
    guard let place = places.first(where: { lines[$0]?.isFailure ?? true }) else {
      return "\(name) once more"
    }
    lines[place] = Line(number: lineCount, isFailure: record.failure != nil)
    lineCount += 1
    return nil
  }

  /// Whether the question at `index` has an answer that is no failure.
  func isAnswered(_ index: Int) -> Bool { lines[index].map { !$0.isFailure } ?? false }

  /// Questions without any line.
  var missing: [Int] { lines.indices.filter { lines[$0] == nil } }

  /// Whether the lines are those of the questions, one for each that has one, in order.
  var isInOrder: Bool { order == Array(0..<lineCount) }

  /// Numbers of the lines that count, in the order of the questions.
  var order: [Int] { lines.compactMap { $0?.number } }
}
