/// The answer normaliser of VQA and TextVQA ("EvalAI processor").
///
/// Source: the authors' `tinyllava/eval/m4c_evaluator.py`, which is that of Pythia and of the VQA
/// server.
package struct AnswerNormalizer: Sendable {
  private let rule: Score.Rule

  /// - Parameter rule: published scores need `published`. `corrected` looks at each punctuation mark
  ///   by itself, where the script lets one mark beside a space decide for all of its kind, and
  ///   removes every period, where the script stops after 32.
  package init(_ rule: Score.Rule = .published) { self.rule = rule }

  package func callAsFunction(_ answer: String) -> String {
    let lower = answer.lowercased().pythonReplacing(",", with: "")
      .pythonReplacing("?", with: "").pythonReplacing("'s", with: " 's").pythonStripped()
    let line = String(scalars: lower.unicodeScalars.map { $0 == "\n" || $0 == "\t" ? " " : $0 })
      .pythonStripped()
    return Self.words(Self.withoutPeriods(withoutPunctuation(line), atMost: mostPeriods))
  }

  /// Several answers; equal ones, of which annotators give many, are worked on once.
  func callAsFunction(_ answers: [String]) -> [String] {
    var known: [String: String] = [:]
    return answers.map { answer in
      if let normal = known[answer] { return normal }
      let normal = self(answer)
      known[answer] = normal
      return normal
    }
  }

  private static let punctuation = ";/[]\"{}()=+\\_-><@`,?!".unicodeScalars

  private func withoutPunctuation(_ line: String) -> String {
    let scalars = Array(line.unicodeScalars)
    func isBesideSpace(_ index: Int) -> Bool {
      (index > 0 && scalars[index - 1] == " ")
        || (index + 1 < scalars.count && scalars[index + 1] == " ")
    }
    let removed = Set(
      scalars.indices.filter { Self.punctuation.contains(scalars[$0]) && isBesideSpace($0) }
        .map { scalars[$0] })
    return String(
      scalars: scalars.indices.compactMap { index in
        let scalar = scalars[index]
        guard Self.punctuation.contains(scalar) else { return scalar }
        let isRemoved = rule == .published ? removed.contains(scalar) : isBesideSpace(index)
        return isRemoved ? nil : " "
      })
  }

  /// The script passes a flag where the number of replacements belongs; its value is 32.
  private var mostPeriods: Int { rule == .published ? 32 : .max }

  /// Removes periods that no digit follows.
  private static func withoutPeriods(_ text: String, atMost most: Int) -> String {
    let scalars = Array(text.unicodeScalars)
    var left = most
    return String(
      scalars: scalars.indices.compactMap { index in
        let next = index + 1 < scalars.count ? scalars[index + 1] : " "
        guard scalars[index] == ".", !next.isPythonDigit, left > 0 else { return scalars[index] }
        left -= 1
        return nil
      })
  }

  private static let numbers = [
    "none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5",
    "six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10",
  ]
  private static let articles: Set = ["a", "an", "the"]

  private static func words(_ text: String) -> String {
    text.lowercased().pythonWords.map { numbers[$0] ?? $0 }.filter { !articles.contains($0) }
      .map { Contractions.table[$0] ?? $0 }.joined(separator: " ")
  }
}
