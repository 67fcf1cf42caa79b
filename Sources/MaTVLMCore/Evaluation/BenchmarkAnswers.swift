import MaTVLMEvaluation
import MaTVLMText

extension VisionLanguageModel {
  /// Greedy answers to a benchmark's questions, all in one batch.
  ///
  /// - Parameter limit: on the length of each.
  /// - Returns: one text for each question, without white space around it, as the authors' scripts
  ///   write it.
  /// - Throws: ``GenerationError``.
  public func answers(_ questions: [AskedQuestion], limit: TokenLimit) throws -> [String] {
    try generate(
      questions.map { question in
        // A placeholder without a picture would stand for nothing.
        let text =
          question.picture == nil
          ? question.text.replacing(PromptTemplate.imagePlaceholder, with: "") : question.text
        var request = GenerationRequest(
          promptIDs: promptIDs(question: text, withPicture: question.picture != nil),
          pictures: question.picture.map { [$0] } ?? [])
        request.maximumTokens = limit.newTokens(afterPrompt: request.promptIDs.count)
        return request
      }
    ).map { String($0.text.trimmed) }
  }
}
