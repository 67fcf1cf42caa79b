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
  /// What follows each active sequence.
  private var following: [Following] = []
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
    let prompts = model.splice(answers.map(\.unreadIDs))
    var states = self.states
    let last = try model.decoder.readPrompts(
      prompts, images: images, states: &states, betweenBlocks: checkStop)  // [S, D]
    for (index, length) in prompts.segments.lengths.enumerated() {
      answers[index].promptRows = length
    }
    let logits = model.decoder.head(last)  // [S, V]
    try keep(states, of: Array(answers.indices), DecodingStep.Prediction(logits))
  }

  /// Answers prompts that have been read.
  mutating func answers(_ onText: (Int, String) -> Bool) throws -> [Generation] {
    var active = Array(answers.indices)
    while true {
      for (sequence, following) in zip(active, following) {
        answers[sequence].append(following, seconds: seconds()) { onText(sequence, $0) }
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
    try keep(states, of: active, prediction)
  }

  /// Keeps the new states, and takes to the host what is needed to choose: tokens where all
  /// sequences take the most likely one, or else all logits.
  private mutating func keep(
    _ states: [DecodingState], of active: [Int], _ prediction: DecodingStep.Prediction
  ) throws {
    for (sequence, state) in zip(active, states) { answers[sequence].state = state }
    let areDecided = active.allSatisfy { answers[$0].takesMostLikely }
    let tokens = areDecided ? prediction.mostLikely.indices() : []
    let values = areDecided ? [] : prediction.logits.array()
    try model.device.check()
    let width = prediction.logits.shape.width
    following = try states.indices.map { index in
      let own = areDecided ? [] : Array(values[index * width..<(index + 1) * width])
      guard areDecided ? tokens[index] >= 0 : own.allSatisfy(\.isFinite) else {
        throw GenerationError.notFinite(row: states[index].position - 1)
      }
      return areDecided ? .token(tokens[index]) : .logits(own)
    }
  }
}

/// What the model says follows a sequence.
private enum Following {
  /// The most likely token.
  case token(Int)
  /// [V]
  case logits([Float])
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

  var takesMostLikely: Bool { request.sampling.takesMostLikely }

  /// Chooses the next token, hands out the text that has become certain, and sees whether the
  /// answer ends here.
  mutating func append(_ following: Following, seconds: Double, _ onText: (String) -> Bool) {
    let id =
      switch following {
      case .token(let id): id
      case .logits(let logits): sampler.next(logits)
      }
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
