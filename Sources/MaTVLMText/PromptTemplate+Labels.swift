import Foundation

extension PromptTemplate {
  /// The labels of `ids`: answers with the end of text after each keep their ids, all else is
  /// ``ignoredLabel``.
  ///
  /// Source: `make_labels` and `_make_masks` of the authors' `tinyllava/data/template/base.py`.
  /// - Parameters:
  ///   - text: what ``trainingText(_:)`` returned.
  ///   - ids: what ``encode(_:with:)`` made of it.
  ///   - maximumLength: from this many tokens on the rounds are not checked against `ids`, as the
  ///     sample is cut anyway; nil checks always.
  /// - Returns: as many labels as ids.
  /// - Throws: ``LabelMismatch`` if the rounds of `text` do not add up to `ids`, for instance
  ///   because someone says ` ASSISTANT: `. The authors' code then learns nothing from the sample.
  public func labels(
    for text: String, ids: [Int], tokenizer: Tokenizer, maximumLength: Int? = nil
  ) throws -> [Int] {
    switch self {
    case .phi: try phiLabels(text, ids, tokenizer, maximumLength ?? .max)
    case .pretrain: ids.prefix(1).map { _ in Self.ignoredLabel } + ids.dropFirst()
    }
  }

  private func phiLabels(
    _ text: String, _ ids: [Int], _ tokenizer: Tokenizer, _ maximumLength: Int
  ) throws -> [Int] {
    var labels = ids
    var cursor = 0
    func ignore(_ range: Range<Int>) {
      for index in range.clamped(to: labels.indices) { labels[index] = Self.ignoredLabel }
    }
    let rounds = text.parts(separatedBy: Self.endOfAnswer)
    for round in rounds {
      let parts = round.parts(separatedBy: Self.separator)
      guard parts.count == 2 else { break }  // the empty round after the last answer, at least
      // Alone, the separator's last space is a token; before an answer it is part of its first one.
      let question = encode(parts[0] + Self.separator, with: tokenizer).count - 1
      ignore(cursor..<cursor + question)
      cursor += encode(round, with: tokenizer).count + 1  // and the end of text
    }
    ignore(cursor..<max(cursor, labels.count))
    // Padding is end of text as well: each is counted by its text instead.
    let expected = ids.count { $0 != tokenizer.endOfText } + rounds.count - 1
    if cursor < maximumLength, cursor != expected {
      throw LabelMismatch(tokens: expected, accountedFor: cursor)
    }
    return labels
  }
}

/// The rounds of a training text do not add up to its tokens, so its answers cannot be told apart.
public struct LabelMismatch: Error, Equatable, CustomStringConvertible, LocalizedError {
  /// Tokens of the sample.
  public let tokens: Int
  /// Tokens of the rounds that could be read.
  public let accountedFor: Int

  public var description: String {
    "labels: expected rounds of \(tokens) tokens in all, found \(accountedFor). A question or answer "
      + "contains “ ASSISTANT: ” or “<|endoftext|>”; leave the sample out or reword it."
  }

  public var errorDescription: String? { description }
}
