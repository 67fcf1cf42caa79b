import MaTVLMEvaluation
import MaTVLMImages
import MaTVLMTensor
import MaTVLMText

/// A question with a known answer.
public struct EvaluationQuestion: Sendable {
  /// What the question tests; accuracy is reported for each.
  public let ability: String
  public let question: String
  public let answer: String
  public let picture: RGBImage?
  /// Turns between the picture and the question, all answered.
  public let earlier: [Turn]

  /// - Parameter earlier: turns between the picture and the question.
  /// - Precondition: these have answers.
  public init(
    ability: String, question: String, answer: String, picture: RGBImage?, earlier: [Turn] = []
  ) {
    require(earlier.allSatisfy { $0.answer != nil }, "EvaluationQuestion: a turn has no answer")
    (self.ability, self.question, self.earlier) = (ability, question, earlier)
    (self.answer, self.picture) = (answer, picture)
  }
}

/// The accuracy of greedy answers, in all and by ability.
public struct AnswerEvaluation: Sendable, Hashable, Codable {
  public private(set) var total = Accuracy()
  public private(set) var abilities: [String: Accuracy] = [:]

  /// Asks each question by itself; an answer is right when it equals the known one but for white
  /// space around it.
  ///
  /// - Parameters:
  ///   - batchSize: questions that go through the model together.
  ///   - progress: gets the number of questions answered so far.
  /// - Throws: ``GenerationError``.
  public init(
    of model: VisionLanguageModel, _ questions: [EvaluationQuestion], batchSize: Int = 64,
    progress: (Int) -> Void = { _ in }
  ) throws {
    for start in stride(from: 0, to: questions.count, by: batchSize) {
      let batch = questions[start..<min(questions.count, start + batchSize)]
      let answers = try model.generate(
        batch.map { question in
          var request = GenerationRequest(
            promptIDs: model.promptIDs(
              question: question.question, withPicture: question.picture != nil,
              after: question.earlier),
            pictures: question.picture.map { [$0] } ?? [])
          // Known answers are short; one that runs on is wrong however it goes on.
          request.maximumTokens = model.tokenizer.encode(question.answer).count + 8
          return request
        })
      for (question, answer) in zip(batch, answers) {
        let isRight = answer.text.trimmed == question.answer.trimmed
        total.count(isRight)
        abilities[question.ability, default: Accuracy()].count(isRight)
      }
      progress(start + batch.count)
    }
  }
}

extension String {
  /// Without white space around it.
  var trimmed: Substring {
    var text = self[...]
    while text.first?.isWhitespace == true { text.removeFirst() }
    while text.last?.isWhitespace == true { text.removeLast() }
    return text
  }
}
