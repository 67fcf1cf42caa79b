/// The option that an answer to an MMBench question chooses, where that can be told without a judge.
///
/// Source: VLMEvalKit's `can_infer`, which the benchmark's server tries before it asks a language
/// model.
package struct InferredOption: Sendable {
  private let options: [(letter: String, text: String)]

  package init(_ options: [(letter: String, text: String)]) { self.options = options }

  /// nil: only a judge could tell.
  package func callAsFunction(_ answer: String) -> String? {
    letter(in: answer) ?? named(in: answer)
  }

  private static let separators = ".()[],:;!*#{}".unicodeScalars

  /// The only option whose letter stands alone. "A" may be an article in more than three words.
  private func letter(in answer: String) -> String? {
    let words = String(
      scalars: answer.unicodeScalars.map { Self.separators.contains($0) ? " " : $0 }
    ).pythonWords
    let named = options.map(\.letter).filter(words.contains)
    guard named.count == 1 else { return nil }
    return named[0] == "A" && words.count > 3 ? nil : named[0]
  }

  /// The only option whose text occurs in an answer that is not much longer than all options.
  private func named(in answer: String) -> String? {
    let answer = answer.lowercased()
    let total = options.reduce(0) { $0 + $1.text.unicodeScalars.count }
    guard answer.unicodeScalars.count <= 2 * total else { return nil }
    let named = options.filter { answer.pythonContains($0.text.lowercased()) }
    return named.count == 1 ? named[0].letter : nil
  }
}
