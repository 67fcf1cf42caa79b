import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Answers: ends, seeds, and requests that do not fit")
struct GenerationRequestTests {
  private let model: VisionLanguageModel
  private let prompt: GoldenCases.Prompt

  init() throws {
    model = try GoldenModels.load("teacher")
    prompt = try GoldenCases.read().generations[2]  // without a picture
  }

  private func request(_ change: (inout GenerationRequest) -> Void = { _ in }) -> GenerationRequest
  {
    var request = GenerationRequest(promptIDs: prompt.promptIds)
    request.maximumTokens = 24
    change(&request)
    return request
  }

  @Test("as many tokens as asked for")
  func maximum() throws {
    let answer = try model.generate(request { $0.maximumTokens = 5 })
    #expect(answer.ids == Array(prompt.teacher.ids.prefix(5)) && answer.end == .maximumTokens)
    #expect(answer.text == model.tokenizer.decode(answer.ids, skippingSpecialTokens: true))
  }

  @Test("a stop text ends the answer; its token is among the ids, its text is not in the text")
  func stopText() throws {
    let token = prompt.teacher.ids[4]
    let stop = model.tokenizer.decode([token])
    let text = model.tokenizer.decode(prompt.teacher.ids)
    let start = try #require(text.range(of: stop)?.lowerBound)
    var streamed = ""
    let answer = try model.generate(request { $0.stopTexts = ["never said", stop] }) {
      streamed += $0
      return true
    }
    #expect(answer.end == .stopText && answer.text == text[..<start] && streamed == answer.text)
    #expect(answer.ids == Array(prompt.teacher.ids.prefix(answer.ids.count)))
    #expect(answer.ids.count < prompt.teacher.ids.count)
  }

  @Test("the end token ends the answer and stays out of the text")
  func endToken() throws {
    // A head that says the end token whatever the row.
    var biases = [Float](repeating: 0, count: 640)
    biases[0] = 1000
    let bias = try #require(model.decoder.head.bias)
    bias.assign(Tensor(biases, [640]))
    let answer = try model.generate(request())
    #expect(answer.ids == [0] && answer.text == "" && answer.end == .endToken)
  }

  @Test("the caller ends the answer")
  func caller() throws {
    var calls = 0
    let answer = try model.generate(request()) { _ in
      calls += 1
      return calls < 3
    }
    #expect(calls == 3 && answer.end == .caller && answer.ids.count < 24)
  }

  @Test("drawn answers depend on their seed, and not on their neighbours")
  func seeds() throws {
    func drawn(_ seed: UInt64) -> GenerationRequest {
      request {
        $0.sampling.temperature = 1
        $0.sampling.seed = seed
      }
    }
    let alone = try [1, 2].map { try model.generate(drawn($0)).ids }
    #expect(alone[0] != alone[1])
    let together = try model.generate([drawn(2), request(), drawn(1)]) { _, _ in true }
    #expect(together.map(\.ids) == [alone[1], prompt.teacher.ids, alone[0]])
  }

  @Test("nothing to do")
  func none() throws { #expect(try model.generate([]) { _, _ in true } == []) }

  @Test("requests that do not fit the model")
  func problems() throws {
    let picture = try GoldenModels.picture("h.png")
    let cases: [(GenerationRequest, GenerationError)] = [
      (GenerationRequest(promptIDs: []), .emptyPrompt),
      (GenerationRequest(promptIDs: [1, -200]), .pictures(placeholders: 1, pictures: 0)),
      (
        GenerationRequest(promptIDs: [1], pictures: [picture]),
        .pictures(placeholders: 0, pictures: 1)
      ),
      (GenerationRequest(promptIDs: [640]), .unknownToken(id: 640, vocabulary: 640)),
      (GenerationRequest(promptIDs: [-1]), .unknownToken(id: -1, vocabulary: 640)),
      (request { $0.maximumTokens = 0 }, .maximumTokens(0)),
      (
        request { $0.sampling.topP = 0 },
        .sampling("top-p must be above 0 and at most 1, not 0.0")
      ),
    ]
    for (request, error) in cases {
      #expect(throws: error) { try model.generate(request) }
      // One that does not fit stops all, before anything is computed.
      #expect(throws: error) { try model.generate([self.request(), request]) { _, _ in true } }
    }
  }

  @Test("damaged weights are said, not sampled")
  func notFinite() throws {
    let weight = model.decoder.finalNorm.weight
    weight.assign(Tensor(Array(repeating: .nan, count: 64), [64]))
    #expect(throws: GenerationError.notFinite(row: prompt.promptIds.count - 1)) {
      try model.generate(request())
    }
  }
}
