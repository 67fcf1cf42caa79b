import MaTVLMImages
import MaTVLMTensor
import MaTVLMText

extension VisionLanguageModel {
  /// Token ids of a question in the phi template, the picture in front of all.
  ///
  /// - Parameter earlier: turns that come first.
  /// - Precondition: these have answers.
  public func promptIDs(question: String, withPicture: Bool, after earlier: [Turn] = []) -> [Int] {
    let template = PromptTemplate.phi
    let turns = Self.conversation(earlier + [Turn(question: question)], withPicture: withPicture)
    return template.encode(template.generationText(turns), with: tokenizer)
  }

  /// Turns, the first of them about a picture if there is one.
  static func conversation(_ turns: [Turn], withPicture: Bool) -> [Turn] {
    guard withPicture, let first = turns.first else { return turns }
    let about = Turn(
      question: PromptTemplate.aboutPicture(first.question), answer: first.answer)
    return [about] + turns.dropFirst()
  }

  /// Token ids of another question, which follow the end token of an answer.
  func followUpIDs(question: String, withPicture: Bool) -> [Int] {
    let template = PromptTemplate.phi
    let turn = Self.conversation([Turn(question: question)], withPicture: withPicture)[0]
    return template.encode(template.followUpText(turn), with: tokenizer)
  }

  /// Answers a prompt token by token.
  ///
  /// - Parameter onText: gets each piece of text as soon as it is certain, never half a character;
  ///   false ends the answer.
  /// - Throws: ``GenerationError`` when the request does not fit the model.
  public func generate(
    _ request: GenerationRequest, onText: (String) -> Bool = { _ in true }
  ) throws -> Generation {
    try generate([request]) { _, text in onText(text) }[0]
  }

  /// Answers several prompts of any lengths together.
  ///
  /// - Parameter onText: gets the number of the request with each piece of its text; false ends
  ///   that answer.
  /// - Returns: one answer for each request, in their order.
  /// - Throws: ``GenerationError`` when a request does not fit the model.
  public func generate(
    _ requests: [GenerationRequest], onText: (Int, String) -> Bool = { _, _ in true }
  ) throws -> [Generation] {
    for request in requests { try check(request) }
    guard !requests.isEmpty else { return [] }
    return try withoutGradients {
      var run = GenerationRun(self, requests.map { started($0) })
      let pictures = requests.flatMap(\.pictures)
      try run.readPrompts(images: pictures.isEmpty ? nil : imageRows(pictures))
      return try run.answers(onText)
    }
  }

  /// A request of which nothing has been read.
  /// - Parameter room: for how many rows there is room at least.
  func started(_ request: GenerationRequest, room: Int = 0) -> StartedRequest {
    let rows = request.promptIDs.count + request.pictures.count * configuration.vision.tokens
    // Longer answers make room as they grow.
    let state = decoder.makeState(capacity: max(room, rows + min(request.maximumTokens, 1024)))
    return StartedRequest(request: request, readIDs: 0, state: state)
  }

  /// Finds out whether a request fits the model, before anything is computed.
  /// - Throws: ``GenerationError`` when it does not.
  public func check(_ request: GenerationRequest) throws {
    guard !request.promptIDs.isEmpty else { throw GenerationError.emptyPrompt }
    let placeholders = request.promptIDs.count { $0 == PromptTemplate.imageTokenID }
    guard placeholders == request.pictures.count else {
      throw GenerationError.pictures(placeholders: placeholders, pictures: request.pictures.count)
    }
    let vocabulary = configuration.text.vocabularySize
    for id in request.promptIDs where id != PromptTemplate.imageTokenID {
      guard (0..<vocabulary).contains(id) else {
        throw GenerationError.unknownToken(id: id, vocabulary: vocabulary)
      }
    }
    guard request.maximumTokens > 0 else {
      throw GenerationError.maximumTokens(request.maximumTokens)
    }
    if let problem = request.sampling.problem { throw GenerationError.sampling(problem) }
  }
}
