/// How a conversation is written as the text that the model reads and learns.
///
/// Source: the authors' `tinyllava/data/template/{base,phi_template,pretrain_template}.py`.
public enum PromptTemplate: String, Sendable, Codable, CaseIterable {
  /// System sentence, then `USER: … ASSISTANT: …<|endoftext|>` for each turn.
  case phi
  /// The picture and its caption alone: `<image>`, caption, line feed.
  case pretrain

  /// Stands in token ids for the picture, whose rows take its place; never embedded.
  public static let imageTokenID = -200
  /// Label of a token that is not learned.
  public static let ignoredLabel = -100
  /// Stands in text for the picture.
  public static let imagePlaceholder = "<image>"

  /// A question about a picture, as the authors' data has it.
  package static func aboutPicture(_ question: String) -> String {
    "\(imagePlaceholder)\n\(question)"
  }

  /// What the phi template begins with.
  package static let system =
    "A chat between a curious user and an artificial intelligence assistant. "
    + "The assistant gives helpful, detailed, and polite answers to the user's questions. "
  static let endOfAnswer = "<|endoftext|>"
  /// What parts a question from its answer.
  static let separator = " ASSISTANT: "

  /// The text to learn from.
  ///
  /// - Precondition: every turn has an answer.
  public func trainingText(_ turns: [Turn]) -> String {
    precondition(turns.allSatisfy { $0.answer != nil }, "trainingText: a turn has no answer")
    return text(turns)
  }

  /// The text after which the model answers the last question. It ends `ASSISTANT:`, with no
  /// space: that belongs to the answer's first token.
  ///
  /// - Precondition: every turn but the last has an answer.
  public func generationText(_ turns: [Turn]) -> String {
    precondition(!turns.isEmpty, "generationText: no turn")
    precondition(
      turns.dropLast().allSatisfy { $0.answer != nil } && turns.last?.answer == nil,
      "generationText: only the last turn is without an answer")
    return text(turns)
  }

  /// What follows the end of an answer when the conversation goes on: ``generationText(_:)`` of all
  /// turns ends with it.
  ///
  /// - Precondition: the turn has no answer.
  public func followUpText(_ turn: Turn) -> String {
    precondition(turn.answer == nil, "followUpText: the turn has an answer")
    return text(of: turn)
  }

  private func text(_ turns: [Turn]) -> String {
    (self == .phi ? Self.system : "") + turns.map(text(of:)).joined()
  }

  private func text(of turn: Turn) -> String {
    switch self {
    case .phi: Self.phiText(turn)
    case .pretrain: Self.imagePlaceholder + (turn.answer.map { $0 + "\n" } ?? "")
    }
  }

  private static func phiText(_ turn: Turn) -> String {
    let answer = turn.answer.map { " " + $0 + endOfAnswer } ?? ""
    return "USER: " + placingImage(turn.question) + " ASSISTANT:" + answer
  }

  /// Every placeholder is taken out and one is put in front, on a line of its own.
  private static func placingImage(_ question: String) -> String {
    let parts = question.parts(separatedBy: imagePlaceholder)
    if parts.count == 1 { return question }
    return (imagePlaceholder + "\n" + parts.joined().strippingWhitespace).strippingWhitespace
  }

  /// The ids of `text`: each part around `<image>` on its own, joined by ``imageTokenID``.
  public func encode(_ text: String, with tokenizer: Tokenizer) -> [Int] {
    let parts = text.parts(separatedBy: Self.imagePlaceholder).map(tokenizer.encode)
    return Array(parts.joined(separator: [Self.imageTokenID]))
  }
}
