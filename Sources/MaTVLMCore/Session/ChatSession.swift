import MaTVLMImages
import MaTVLMTensor
import MaTVLMText

/// A conversation with a model, about any number of pictures.
///
/// An answer costs what is new since the one before: states of the conversation's prefixes are kept,
/// and every picture is encoded once. What was kept saves time and changes no token: it can be
/// dropped at any time, and is when it grows beyond ``byteBudget``.
///
/// A session has one owner. Copying the struct shares caches that are written in place.
public struct ChatSession: Sendable {
  public let model: VisionLanguageModel
  /// New tokens of an answer at most, the end token counted in.
  public var maximumTokens = 512
  public var sampling = Sampling()
  /// An answer ends before the first of these texts.
  public var stopTexts: [String] = []
  /// Bytes of device memory that are kept between two answers at most. The oldest snapshots and
  /// pictures' rows go first, then all states; the conversation itself always stays.
  public var byteBudget: Int { didSet { keepWithinBudget() } }
  /// Everything that was asked and answered.
  public private(set) var history = ChatHistory()
  /// For each turn, how many ids came before it.
  private(set) var turnStarts: [Int] = []
  private(set) var states = PrefixStates()
  private(set) var pictures = EncodedPictures()

  /// A conversation in which nothing has been said.
  /// - Parameter byteBudget: see ``byteBudget``.
  public init(_ model: VisionLanguageModel, byteBudget: Int = .max) {
    self.model = model
    self.byteBudget = byteBudget
  }

  /// A conversation that was saved.
  init(
    _ model: VisionLanguageModel, _ history: ChatHistory, turnStarts: [Int],
    states: PrefixStates, pictures: EncodedPictures
  ) {
    self.init(model)
    (self.history, self.turnStarts) = (history, turnStarts)
    (self.states, self.pictures) = (states, pictures)
  }

  /// Questions that were answered.
  public var turns: Int { turnStarts.count }

  /// Rows that the conversation has in the decoder, image rows counted in.
  public var rows: Int { history.rows(tokensPerPicture: model.configuration.vision.tokens) }

  /// Bytes of device memory that are kept.
  public var byteCount: Int { states.byteCount + pictures.byteCount }

  /// Answers a question in the phi template, after what was said before.
  ///
  /// - Parameters:
  ///   - picture: what the question is about, put in front of it.
  ///   - onText: gets each piece of text as soon as it is certain; false ends the answer.
  ///   - shouldStop: asked between blocks and between tokens; true ends the answer.
  /// - Returns: the answer, as far as it came; it is part of the conversation then.
  /// - Throws: ``GenerationError`` when the question does not fit the model, and `CancellationError`
  ///   when it was to stop before the first token. The conversation is as before then.
  public mutating func respond(
    to question: String, picture: RGBImage? = nil,
    onText: (String) -> Bool = { _ in true }, shouldStop: @escaping () -> Bool = { false }
  ) throws -> Generation {
    let prompt = prompt(question, picture)
    let request = request(prompt)
    try model.check(request)
    return try withoutGradients {
      let start = started(request, prompt)
      var run = GenerationRun(model, [start], shouldStop: shouldStop)
      let images = try pictures.rows(
        of: start.unreadPictures, model, betweenBlocks: run.checkStop)
      try run.readPrompts(images: images)
      states.keep(run.states[0], reading: prompt)
      let answer = try run.answers { _, text in onText(text) }[0]
      finish(prompt, answer, run.states[0])
      return answer
    }
  }

  /// Takes the last question and its answer back.
  public mutating func removeLastTurn() {
    if let start = turnStarts.popLast() { history = history.prefix(start) }
  }

  /// Takes everything back. Pictures that were encoded stay known.
  public mutating func reset() {
    history = ChatHistory()
    turnStarts = []
    states.removeAll()
  }

  /// Forgets states of what is no longer, or never became, part of the conversation.
  mutating func returnToHistory() {
    states.goBack(
      toPrefixOf: history, tokensPerPicture: model.configuration.vision.tokens)
  }

  /// The conversation with another question.
  private func prompt(_ question: String, _ picture: RGBImage?) -> ChatHistory {
    var prompt = history
    if history.ids.isEmpty {
      prompt.ids = model.promptIDs(question: question, withPicture: picture != nil)
    } else {
      let end = model.configuration.text.endToken
      if prompt.ids.last != end { prompt.ids.append(end) }
      prompt.ids += model.followUpIDs(question: question, withPicture: picture != nil)
    }
    if let picture { prompt.pictures.append(model.prepared(picture)) }
    return prompt
  }

  private func request(_ prompt: ChatHistory) -> GenerationRequest {
    var request = GenerationRequest(promptIDs: prompt.ids, pictures: prompt.pictures)
    request.maximumTokens = maximumTokens
    request.sampling = sampling
    request.stopTexts = stopTexts
    return request
  }

  /// The request with the longest prefix of its prompt that has a state.
  private mutating func started(
    _ request: GenerationRequest, _ prompt: ChatHistory
  ) -> StartedRequest {
    let tokens = model.configuration.vision.tokens
    return states.resume(prompt, tokensPerPicture: tokens).map {
      StartedRequest(request: request, readIDs: $0.readIDs, state: $0.state)
    } ?? fresh(request)
  }

  /// Rows of a conversation that have room at once at most, whatever context a model claims.
  private static let mostRoom = 4096

  /// With room for the model's context, so that later turns do not copy what earlier ones left; with
  /// less where so much may not be kept.
  private func fresh(_ request: GenerationRequest) -> StartedRequest {
    let room = min(model.configuration.maximumLength, Self.mostRoom)
    // The other half is for pictures and snapshots.
    let hasRoom = model.decoder.stateByteCount(capacity: room) <= byteBudget / 2
    return model.started(request, room: hasRoom ? room : 0)
  }

  private mutating func finish(
    _ prompt: ChatHistory, _ answer: Generation, _ state: DecodingState
  ) {
    var read = prompt
    read.ids += answer.ids.dropLast()  // nobody has read the last one yet
    states.keep(state, reading: read)
    turnStarts.append(history.ids.count)
    history = prompt
    // A stop text, and what its last token had beyond it, were not said.
    history.ids +=
      answer.end == .stopText ? model.tokenizer.encode(answer.text) : answer.ids
    keepWithinBudget()
  }

  private mutating func keepWithinBudget() {
    while byteCount > byteBudget {
      if !states.removeOldestSnapshot(), !pictures.removeOldest() {
        states.removeAll()
        return
      }
    }
  }
}
