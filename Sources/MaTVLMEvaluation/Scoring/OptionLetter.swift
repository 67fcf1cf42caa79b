/// The option that an answer to a ScienceQA question names.
///
/// Source: the authors' `tinyllava/eval/eval_science_qa.py`.
package struct OptionLetter: Sendable {
  private let rule: Score.Rule

  /// - Parameter rule: `published` wants one more character after the letter of a phrase ("The answer
  ///   is A" has none, and is wrong); `corrected` does not.
  package init(_ rule: Score.Rule = .published) { self.rule = rule }

  private static let letters = "ABCDE".unicodeScalars
  private static let phrases = [
    "The answer is ", "The correct answer is ", "The correct option is ",
  ]

  /// The number of the option, from 0; nil when no option, or none of the question's, is named.
  package func option(in text: String, of count: Int) -> Int? {
    guard let letter = letter(in: text), let index = Array(Self.letters).firstIndex(of: letter),
      index < count
    else { return nil }
    return index
  }

  private func letter(in text: String) -> Unicode.Scalar? {
    let scalars = Array(text.unicodeScalars)
    if scalars.count == 1, Self.letters.contains(scalars[0]) { return scalars[0] }
    if scalars.count >= 3, Self.letters.contains(scalars[0]), scalars[1] == ".", scalars[2] == " " {
      return scalars[0]
    }
    return Self.phrases.lazy.map { self.letters(after: Array($0.unicodeScalars), in: scalars) }
      .first { $0.count == 1 }?[0]
  }

  /// The capitals after each `phrase`, as `re.findall(phrase + "([A-Z]).")`.
  private func letters(
    after phrase: [Unicode.Scalar], in text: [Unicode.Scalar]
  ) -> [Unicode.Scalar] {
    var found: [Unicode.Scalar] = []
    var place = 0
    while place + phrase.count < text.count {
      let letter = text[place + phrase.count]
      guard text[place...].starts(with: phrase), ("A"..."Z").contains(letter),
        isFollowed(text[(place + phrase.count + 1)...])
      else {
        place += 1
        continue
      }
      found.append(letter)
      place += phrase.count + (rule == .published ? 2 : 1)
    }
    return found
  }

  private func isFollowed(_ rest: ArraySlice<Unicode.Scalar>) -> Bool {
    guard rule == .published else { return !(rest.first?.properties.isAlphabetic ?? false) }
    return rest.first.map { $0 != "\n" } ?? false
  }
}
