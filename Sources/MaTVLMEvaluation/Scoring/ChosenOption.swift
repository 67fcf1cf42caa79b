/// The option that an answer to a multiple-choice question of MMMU chooses.
///
/// Source: MMMU's `eval/eval_utils.py`, `parse_multi_choice_response`, which the authors use too.
package struct ChosenOption: Sendable {
  /// Letters, in order.
  private let letters: [String]
  /// What each letter stands for, in the order of the file.
  private let options: [(letter: String, text: String)]

  package init(letters: [String], options: [(letter: String, text: String)]) {
    (self.letters, self.options) = (letters, options)
  }

  /// nil: the answer chooses none, and the scripts throw dice.
  package func callAsFunction(_ answer: String) -> String? {
    let stripped = ",.!?;:'".unicodeScalars.reduce(answer) { text, mark in
      text.pythonStripped { $0 == mark }
    }
    let response = " \(stripped) "
    return last(in: response) { "(\($0))" } ?? last(in: response) { " \($0) " }
      ?? named(in: response)
  }

  /// The letter whose last occurrence is the latest.
  private func last(in response: String, _ form: (String) -> String) -> String? {
    Self.latest(letters.map { ($0, response.pythonLastPlace(of: form($0))) })
  }

  /// The letter whose option's text occurs, in answers of more than five words.
  private func named(in response: String) -> String? {
    guard response.pythonWords.count > 5 else { return nil }
    let lower = response.lowercased()
    return Self.latest(
      options.map { ($0.letter, lower.pythonLastPlace(of: $0.text.lowercased())) })
  }

  /// Of equal places the first, as `numpy.argmax`.
  private static func latest(_ candidates: [(letter: String, place: Int?)]) -> String? {
    var best: (letter: String, place: Int)?
    for candidate in candidates {
      guard let place = candidate.place, place > best?.place ?? -1 else { continue }
      best = (candidate.letter, place)
    }
    return best?.letter
  }
}
