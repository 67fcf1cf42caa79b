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
    try check(request)
    return try withoutGradients {
      var run = GenerationRun(self, request)
      return try run.answer(onText)
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

/// One answer in the making.
private struct GenerationRun {
  private let model: VisionLanguageModel
  private let request: GenerationRequest
  private var states: [DecodingState]
  private var sampler: Sampler
  private var text: StoppingText
  private var ids: [Int] = []

  init(_ model: VisionLanguageModel, _ request: GenerationRequest) {
    self.model = model
    self.request = request
    sampler = Sampler(request.sampling, prompt: request.promptIDs)
    text = StoppingText(model.tokenizer, stops: request.stopTexts)
    let rows = request.promptIDs.count + request.pictures.count * model.configuration.vision.tokens
    let answer = min(request.maximumTokens, 1024)
    states = [model.decoder.makeState(capacity: rows + answer)]
  }

  mutating func answer(_ onText: (String) -> Bool) throws -> Generation {
    let clock = ContinuousClock()
    let start = clock.now
    func seconds() -> Double { (clock.now - start) / .seconds(1) }

    let spliced = model.splice([request.promptIDs])
    let images = request.pictures.isEmpty ? nil : model.imageRows(request.pictures)
    var logits = try step(spliced.rows(model.decoder.embedding, images: images))
    let endToken = model.configuration.text.endToken
    var promptSeconds: Double?
    var end: Generation.End?
    while end == nil {
      let id = sampler.next(logits)
      ids.append(id)
      promptSeconds = promptSeconds ?? seconds()
      if id == endToken {
        end = .endToken
      } else {
        let piece = text.append(id)
        if !piece.isEmpty, !onText(piece) { end = .caller }
        if text.isStopped { end = .stopText }
        if end == nil, ids.count >= request.maximumTokens { end = .maximumTokens }
      }
      if end == nil { logits = try step(embed(id)) }
    }
    let rest = text.finish()
    if !rest.isEmpty, end != .caller { _ = onText(rest) }
    return Generation(
      promptIDs: request.promptIDs, ids: ids, text: text.whole, end: end ?? .caller,
      promptSeconds: promptSeconds ?? 0, seconds: seconds())
  }

  private func embed(_ id: Int) -> Tensor {
    model.decoder.embedding(Tensor(indices: [id], on: model.device))  // [1, D]
  }

  /// The logits that follow the last of `x`'s rows.
  private mutating func step(_ x: Tensor) throws -> [Float] {
    let rows = model.decoder(x, Segments([x.shape.rows]), states: &states)  // [T, D]
    let last = Tensor(indices: [x.shape.rows - 1], on: model.device)
    let logits = model.decoder.head(gatherRows(rows, last)).array()  // [1, V]
    guard logits.allSatisfy(\.isFinite) else {
      throw GenerationError.notFinite(row: states[0].position - 1)
    }
    return logits
  }
}
