/// Answers as a scorer takes them, with what was noticed about them so far.
struct AnswerSet {
  let records: [AnswerRecord]
  var problems: [Problem] = []

  init(_ records: [AnswerRecord]) {
    self.records = records
    for record in records {
      if let failure = record.failure {
        problems.append(Problem(.notAsked, record.questionID, failure))
      } else if record.text.isEmpty {
        problems.append(Problem(.emptyAnswer, record.questionID, "scored as it is"))
      }
    }
  }

  /// The record of each id. Of several the last counts, as in a Python dictionary.
  mutating func byID() -> [String: AnswerRecord] {
    var result: [String: AnswerRecord] = [:]
    for record in records where result.updateValue(record, forKey: "\(record.questionID)") != nil {
      noteRepeated(record)
    }
    return result
  }

  /// The records of each id by the number of their round.
  mutating func roundsByID() -> [String: [Int: AnswerRecord]] {
    var result: [String: [Int: AnswerRecord]] = [:]
    for record in records {
      let round = record.round?.number ?? 0
      if result["\(record.questionID)", default: [:]].updateValue(record, forKey: round) != nil {
        noteRepeated(record)
      }
    }
    return result
  }

  private mutating func noteRepeated(_ record: AnswerRecord) {
    problems.append(
      Problem(.duplicateID, record.questionID, "answered more than once; the last answer counts"))
  }

  /// Notes the answers whose id no annotation has.
  mutating func noteUnknown<Answer>(_ answers: [String: Answer], known: (String) -> Bool) {
    for id in answers.keys.sorted() where !known(id) {
      problems.append(Problem(.missingAnnotation, id, "its answer is not scored"))
    }
  }

  /// Notes a question whose answer is not in the file.
  mutating func noteMissing(_ id: String) {
    problems.append(Problem(.missingAnswer, id, "counts as wrong"))
  }
}
