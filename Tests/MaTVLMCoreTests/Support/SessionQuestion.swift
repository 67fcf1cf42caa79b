import MaTVLMCore
import MaTVLMTestSupport
import Testing

/// A question of a conversation.
struct SessionQuestion {
  let text: String
  let picture: RGBImage?

  init(_ text: String, _ picture: RGBImage? = nil) { (self.text, self.picture) = (text, picture) }

  /// Four questions for the golden models, about two pictures.
  static func golden() throws -> [SessionQuestion] {
    [
      SessionQuestion("what shape is in the picture", try GoldenModels.picture("a.png")),
      SessionQuestion("how many"),
      SessionQuestion("and in this one", try GoldenModels.picture("d.png")),
      SessionQuestion("describe both"),
    ]
  }
}

/// The files of the embedded teacher are built apart from the rest.
enum EmbeddedTeacher {
  static let isThere = (try? ShapesTeacher.folder()) != nil
}

/// Asks one question after the other; each answer must have the tokens and the text of the same
/// prompt read from nothing, and read only what is new.
/// - Parameter reusesAll: whether nothing but the new question is read.
@discardableResult
func expectEqualAnswers(
  _ session: inout ChatSession, _ questions: [SessionQuestion], reusesAll: Bool = true,
  sourceLocation: SourceLocation = #_sourceLocation
) throws -> [Generation] {
  try questions.map { question in
    let rows = session.rows
    var streamed = ""
    let answer = try session.respond(to: question.text, picture: question.picture) {
      streamed += $0
      return true
    }
    let alone = try session.model.generate(session.requestOfLastTurn(answer))
    #expect(answer.ids == alone.ids, "\(question.text)", sourceLocation: sourceLocation)
    #expect(
      answer.text == alone.text && answer.end == alone.end && streamed == alone.text,
      sourceLocation: sourceLocation)
    if reusesAll {
      // The last token of the answer before has not been read yet either.
      let new = alone.promptRows - rows + (rows > 0 ? 1 : 0)
      #expect(answer.promptRows == new, sourceLocation: sourceLocation)
    }
    return answer
  }
}

extension ChatSession {
  /// The request that gives the last answer without what is kept.
  func requestOfLastTurn(_ answer: Generation) -> GenerationRequest {
    var request = GenerationRequest(promptIDs: answer.promptIDs, pictures: history.pictures)
    request.maximumTokens = maximumTokens
    request.sampling = sampling
    request.stopTexts = stopTexts
    return request
  }
}
