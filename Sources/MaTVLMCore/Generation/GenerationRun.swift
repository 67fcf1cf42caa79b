import Foundation
import MaTVLMImages
import MaTVLMTensor
import MaTVLMText

/// A request, and the state that has read the beginning of its prompt.
struct StartedRequest {
  let request: GenerationRequest
  /// How many ids of the prompt `state` has read.
  let readIDs: Int
  let state: DecodingState

  var unreadIDs: ArraySlice<Int> { request.promptIDs[readIDs...] }

  /// The pictures that these take.
  var unreadPictures: ArraySlice<RGBImage> {
    request.pictures.suffix(unreadIDs.count { $0 == PromptTemplate.imageTokenID })
  }
}

/// Answers in the making: sequences go through the model together until each has ended.
struct GenerationRun {
  private let model: VisionLanguageModel
  /// Asked between blocks and between tokens: whether to give up.
  private let shouldStop: () -> Bool
  private var answers: [AnswerInProgress]
  /// What follows each active sequence, [V] each.
  private var logits: [[Float]] = []
  /// The step of the sequences `decoded`.
  private var decoding: DecodingStep?
  private var decoded: [Int] = []
  private let clock = ContinuousClock()
  private let start: ContinuousClock.Instant

  init(
    _ model: VisionLanguageModel, _ requests: [StartedRequest],
    shouldStop: @escaping () -> Bool = { false }
  ) {
    self.model = model
    self.shouldStop = shouldStop
    start = clock.now
    answers = requests.map { AnswerInProgress($0, model) }
  }

  /// The state of each sequence, shared with the run.
  var states: [DecodingState] { answers.map(\.state) }

  /// Reads what is unread of every prompt.
  /// - Parameter images: rows of the unread pictures of all prompts; nil: there are none.
  /// - Throws: `CancellationError` when it was to stop.
  mutating func readPrompts(images: Tensor?) throws {
    let spliced = model.splice(answers.map(\.unreadIDs))
    let x = spliced.rows(model.decoder.embedding, images: images)  // [T, D]
    let segments = spliced.segments
    var states = self.states
    let layout = SequenceLayout(segments, past: states.map(\.position), on: model.device)
    let rows = try model.decoder(x, layout, states: &states, betweenBlocks: checkStop)  // [T, D]
    let last = Tensor(indices: segments.starts.dropFirst().map { $0 - 1 }, on: model.device)
    for (index, length) in segments.lengths.enumerated() { answers[index].promptRows = length }
    try keep(states, of: Array(answers.indices), model.decoder.head(gatherRows(rows, last)))
  }

  /// Answers prompts that have been read.
  mutating func answers(_ onText: (Int, String) -> Bool) throws -> [Generation] {
    var active = Array(answers.indices)
    while true {
      for (sequence, logits) in zip(active, logits) {
        answers[sequence].append(logits, seconds: seconds()) { onText(sequence, $0) }
      }
      active.removeAll { answers[$0].end != nil }
      if active.isEmpty || shouldStop() { break }
      try step(active)
    }
    return answers.map(\.generation)
  }

  /// - Throws: `CancellationError` when it is to stop.
  func checkStop() throws {
    if shouldStop() { throw CancellationError() }
  }

  private func seconds() -> Double { (clock.now - start) / .seconds(1) }

  /// Reads the newest token of each active sequence.
  private mutating func step(_ active: [Int]) throws {
    if active != decoded {
      decoding = DecodingStep(model.decoder, sequences: active.count)
      decoded = active
    }
    var states = active.map { answers[$0].state }
    let prediction = decoding!(active.map { answers[$0].ids.last! }, states: &states)
    try keep(states, of: active, prediction.logits)
  }

  /// Keeps the new states, and takes logits [S, V] to the host.
  private mutating func keep(
    _ states: [DecodingState], of active: [Int], _ logits: Tensor
  ) throws {
    for (sequence, state) in zip(active, states) { answers[sequence].state = state }
    let values = logits.array()
    try model.device.check()
    let width = logits.shape.width
    self.logits = try states.indices.map { index in
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
  /// Rows of the prompt that were read for this answer.
  var promptRows = 0
  let unreadIDs: [Int]
  private(set) var ids: [Int] = []
  private(set) var end: Generation.End?
  private let request: GenerationRequest
  private let endToken: Int
  private var sampler: Sampler
  private var text: StoppingText
  private var promptSeconds = 0.0
  private var seconds = 0.0

  init(_ start: StartedRequest, _ model: VisionLanguageModel) {
    request = start.request
    state = start.state
    unreadIDs = Array(start.unreadIDs)
    endToken = model.configuration.text.endToken
    sampler = Sampler(request.sampling, prompt: request.promptIDs)
    text = StoppingText(model.tokenizer, stops: request.stopTexts)
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
      promptRows: promptRows, promptSeconds: promptSeconds, seconds: seconds)
  }
}
