import Foundation
import MaTVLMImages
import MaTVLMTensor
import MaTVLMText

extension VisionLanguageModel {
  /// Token ids of a question in the phi template, the picture in front.
  public func promptIDs(question: String, withPicture: Bool) -> [Int] {
    let text = withPicture ? "\(PromptTemplate.imagePlaceholder)\n\(question)" : question
    let template = PromptTemplate.phi
    return template.encode(template.generationText([Turn(question: text)]), with: tokenizer)
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
    return try withoutGradients {
      var run = GenerationRun(self, requests)
      return try run.answers(onText)
    }
  }

  private func check(_ request: GenerationRequest) throws {
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

/// Answers in the making: sequences go through the model together until each has ended.
private struct GenerationRun {
  private let model: VisionLanguageModel
  private let requests: [GenerationRequest]
  private var answers: [AnswerInProgress]
  /// The step of the sequences `decoded`.
  private var decoding: DecodingStep?
  private var decoded: [Int] = []
  private let clock = ContinuousClock()
  private let start: ContinuousClock.Instant

  init(_ model: VisionLanguageModel, _ requests: [GenerationRequest]) {
    self.model = model
    self.requests = requests
    start = clock.now
    answers = requests.map { AnswerInProgress($0, model) }
  }

  mutating func answers(_ onText: (Int, String) -> Bool) throws -> [Generation] {
    guard !requests.isEmpty else { return [] }
    var active = Array(answers.indices)
    var logits = try prefill()
    while true {
      for (sequence, logits) in zip(active, logits) {
        answers[sequence].append(logits, seconds: seconds()) { onText(sequence, $0) }
      }
      active.removeAll { answers[$0].end != nil }
      if active.isEmpty { break }
      logits = try step(active)
    }
    return answers.map { $0.generation }
  }

  private func seconds() -> Double { (clock.now - start) / .seconds(1) }

  /// Reads every prompt; returns the logits that follow each.
  private mutating func prefill() throws -> [[Float]] {
    let spliced = model.splice(requests.map(\.promptIDs))
    let pictures = requests.flatMap(\.pictures)
    let images = pictures.isEmpty ? nil : model.imageRows(pictures)
    let x = spliced.rows(model.decoder.embedding, images: images)  // [T, D]
    return try logits(x, spliced.segments, of: Array(answers.indices))
  }

  /// Reads the newest token of each active sequence; returns the logits that follow.
  private mutating func step(_ active: [Int]) throws -> [[Float]] {
    if active != decoded {
      decoding = DecodingStep(model.decoder, sequences: active.count)
      decoded = active
    }
    var states = active.map { answers[$0].state }
    let prediction = decoding!(active.map { answers[$0].ids.last! }, states: &states)
    return try keep(states, of: active, prediction.logits)
  }

  private mutating func logits(
    _ x: Tensor, _ segments: Segments, of active: [Int]
  ) throws -> [[Float]] {
    var states = active.map { answers[$0].state }
    let rows = model.decoder(x, segments, states: &states)  // [T, D]
    let last = Tensor(indices: segments.starts.dropFirst().map { $0 - 1 }, on: model.device)
    return try keep(states, of: active, model.decoder.head(gatherRows(rows, last)))
  }

  /// Keeps the new states, and takes logits [S, V] to the host.
  private mutating func keep(
    _ states: [DecodingState], of active: [Int], _ logits: Tensor
  ) throws -> [[Float]] {
    for (sequence, state) in zip(active, states) { answers[sequence].state = state }
    let values = logits.array()
    try model.device.check()
    let width = logits.shape.width
    return try states.indices.map { index in
      let own = Array(values[index * width..<(index + 1) * width])
      guard own.allSatisfy(\.isFinite) else {
        throw GenerationError.notFinite(row: states[index].position - 1)
      }
      return own
    }
  }
}

/// One answer as it grows.
private struct AnswerInProgress {
  var state: DecodingState
  private(set) var ids: [Int] = []
  private(set) var end: Generation.End?
  private let request: GenerationRequest
  private let endToken: Int
  private var sampler: Sampler
  private var text: StoppingText
  private var promptSeconds = 0.0
  private var seconds = 0.0

  init(_ request: GenerationRequest, _ model: VisionLanguageModel) {
    self.request = request
    endToken = model.configuration.text.endToken
    sampler = Sampler(request.sampling, prompt: request.promptIDs)
    text = StoppingText(model.tokenizer, stops: request.stopTexts)
    let rows = request.promptIDs.count + request.pictures.count * model.configuration.vision.tokens
    // Longer answers make room as they grow.
    state = model.decoder.makeState(capacity: rows + min(request.maximumTokens, 1024))
  }

  /// Chooses the next token, hands out the text that has become certain, and sees whether the
  /// answer ends here.
  mutating func append(_ logits: [Float], seconds: Double, _ onText: (String) -> Bool) {
    let id = sampler.next(logits)
    ids.append(id)
    if ids.count == 1 { promptSeconds = seconds }
    self.seconds = seconds
    if id == endToken {
      end = .endToken
    } else {
      hand(text.append(id), to: onText)
      if end == nil, text.isStopped { end = .stopText }
      if end == nil, ids.count >= request.maximumTokens { end = .maximumTokens }
    }
    if end != nil, end != .caller { hand(text.finish(), to: onText) }
  }

  private mutating func hand(_ piece: String, to onText: (String) -> Bool) {
    if !piece.isEmpty, !onText(piece), end == nil { end = .caller }
  }

  var generation: Generation {
    Generation(
      promptIDs: request.promptIDs, ids: ids, text: text.whole, end: end ?? .caller,
      promptSeconds: promptSeconds, seconds: seconds)
  }
}
