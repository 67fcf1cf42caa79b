import Foundation

/// A message of a conversation in LLaVA's data format.
public struct Message: Codable, Sendable {
  /// Who speaks: `human` or `gpt`.
  public var from: String
  /// What is said; `<image>` stands for the picture.
  public var value: String

  public init(from: String, value: String) {
    self.from = from
    self.value = value
  }
}

/// A question and, unless it is still to be generated, its answer.
public struct Turn: Sendable {
  public var question: String
  public var answer: String?

  public init(question: String, answer: String? = nil) {
    self.question = question
    self.answer = answer
  }
}

extension [Turn] {
  /// Pairs messages into turns by the authors' rules (`tinyllava/data/template/base.py`): a first
  /// message that is not from `human` is dropped; after that questions and answers alternate,
  /// whoever is named as their speaker.
  ///
  /// - Throws: ``ConversationError`` if no turn is left, or the last question has no answer.
  public init(messages: [Message]) throws {
    let spoken = messages.first?.from == "human" ? messages[...] : messages.dropFirst()
    guard !spoken.isEmpty else { throw ConversationError.empty(messages: messages.count) }
    guard spoken.count.isMultiple(of: 2) else {
      throw ConversationError.oddCount(spoken.count, ofMessages: messages.count)
    }
    self = stride(from: spoken.startIndex, to: spoken.endIndex, by: 2).map {
      Turn(question: spoken[$0].value, answer: spoken[$0 + 1].value)
    }
  }
}

/// Why messages are no conversation to learn from.
public enum ConversationError: Error, Equatable, CustomStringConvertible, LocalizedError {
  /// No message is left once a leading one that is not from `human` is dropped.
  case empty(messages: Int)
  /// Questions and answers do not pair up.
  case oddCount(Int, ofMessages: Int)

  public var description: String {
    switch self {
    case .empty(let messages):
      "conversation of \(messages) messages: expected a question from human and an answer, found "
        + "none. Remove the sample or add its turns."
    case .oddCount(let count, let messages):
      "conversation of \(messages) messages: expected as many answers as questions, found "
        + "\(count) messages from the first question on, an odd count. Remove the unanswered question."
    }
  }

  public var errorDescription: String? { description }
}
