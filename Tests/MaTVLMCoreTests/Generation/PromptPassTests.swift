import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Prompts that are read in several passes")
struct PromptPassTests {
  private let cases: GoldenCases

  init() throws { cases = try .read() }

  /// What reading and a greedy answer leave.
  private struct Reading {
    /// [S, D]
    var last: [Float]
    /// [S, V] after the last token.
    var logits: [Float]
    var tokens: [[Int]]
    var positions: [Int]
  }

  /// Prompts of unequal lengths, some about a picture.
  private func prompts(for model: VisionLanguageModel) throws -> (SplicedSequences, Tensor) {
    let batch = try GoldenModels.batch([0, 2, 1, 3].map { cases.samples[$0] }, for: model)
    return (batch.spliced, model.imageRows(batch.pictures))
  }

  private func read(
    _ model: VisionLanguageModel, _ prompts: SplicedSequences, _ images: Tensor?, mostRows: Int,
    after states: [DecodingState]? = nil
  ) -> Reading {
    // Less room than there are rows, so that caches have to grow.
    var states =
      states ?? prompts.segments.lengths.map { _ in model.decoder.makeState(capacity: 4) }
    let last = model.decoder.readPrompts(
      prompts, images: images, states: &states, mostRows: mostRows, betweenBlocks: {})
    var reading = Reading(last: last.array(), logits: [], tokens: [], positions: [])
    var logits = model.decoder.head(last)
    var step = DecodingStep(model.decoder, sequences: states.count)
    for _ in 0..<6 {
      reading.tokens.append(logits.backend.argmaxRows(logits).indices())
      logits = step(reading.tokens.last!, states: &states).logits
    }
    reading.logits = logits.array()
    reading.positions = states.map(\.position)
    return reading
  }

  @Test("passes take all rows once, in order, and none is larger than it may be")
  func division() {
    let segments = Segments([5, 1, 12, 3])
    for most in 1...22 {
      let passes = PromptPass.all(of: segments, mostRows: most)
      #expect(passes.flatMap(\.rows) == Array(0..<21))
      #expect(passes.allSatisfy { $0.rows.count <= most && $0.segments.rows == $0.rows.count })
      #expect(passes.count == (21 + most - 1) / most)
      let sizes = passes.map(\.rows.count)
      #expect(sizes.max()! - sizes.min()! <= 1)
      let owners = passes.flatMap { pass in pass.segments.owners.map { pass.prompts[$0] } }
      #expect(owners == segments.owners)
      #expect(
        passes.flatMap { pass in pass.ends.map { pass.rows.lowerBound + $0 } } == [4, 5, 17, 20])
    }
    #expect(
      PromptPass.all(of: Segments([800])) == PromptPass.all(of: Segments([800]), mostRows: 800))
    #expect(PromptPass.all(of: Segments([4096])).count == 1)
    #expect(PromptPass.all(of: Segments([4097])).map(\.rows.count) == [2048, 2049])
  }

  @Test(
    "in any passes, prompts end in the same rows, and are answered with the same tokens",
    arguments: CPUVariant.all, ["teacher", "student"])
  func anyPasses(_ variant: CPUVariant, _ folder: String) throws {
    let model = try GoldenModels.load(folder, on: variant.device)
    let (prompts, images) = try prompts(for: model)
    let rows = prompts.segments.rows
    let whole = read(model, prompts, images, mostRows: rows)
    #expect(whole.positions == prompts.segments.lengths.map { $0 + 6 })
    // Of 7 rows, some passes have only rows of a picture, some only text, and some end no prompt.
    for most in [rows - 1, 64, 7, 1] {
      let parts = read(model, prompts, images, mostRows: most)
      // As for a decoder that goes on: sums are added in another order.
      #expect(mismatch(parts.last, whole.last, relativeL2: 1e-5) == nil, "\(most)")
      #expect(mismatch(parts.logits, whole.logits, relativeL2: 1e-5) == nil, "\(most)")
      #expect(parts.tokens == whole.tokens && parts.positions == whole.positions, "\(most)")
    }
  }

  @Test("a prompt that fits a pass gives the bits of a decoder that reads it at once")
  func onePass() throws {
    for folder in ["teacher", "student"] {
      let model = try GoldenModels.load(folder)
      let (prompts, images) = try prompts(for: model)
      var states = prompts.segments.lengths.map { model.decoder.makeState(capacity: $0) }
      let x = prompts.rows(model.decoder.embedding, images: images)
      let final = model.decoder(x, prompts.segments, states: &states)
      let ends = Tensor(indices: prompts.segments.starts.dropFirst().map { $0 - 1 })
      let whole = read(model, prompts, images, mostRows: PromptPass.mostRows)
      #expect(whole.last == gatherRows(final, ends).array())
    }
  }

  @Test(
    "what follows a prompt that was read in passes is read in passes",
    arguments: ["teacher", "student"])
  func goingOn(_ folder: String) throws {
    let model = try GoldenModels.load(folder)
    let ids = cases.samples[2].ids + cases.samples[4].ids.filter { $0 >= 0 }
    let whole = read(
      model, SplicedSequences([ids], tokensPerPicture: 1), nil, mostRows: .max)
    var states = [model.decoder.makeState(capacity: 4)]
    let first = SplicedSequences([Array(ids.prefix(20))], tokensPerPicture: 1)
    _ = model.decoder.readPrompts(
      first, images: nil, states: &states, mostRows: 8, betweenBlocks: {})
    let rest = SplicedSequences([Array(ids.dropFirst(20))], tokensPerPicture: 1)
    let parts = read(model, rest, nil, mostRows: 8, after: states)
    #expect(mismatch(parts.last, whole.last, relativeL2: 1e-5) == nil)
    #expect(parts.tokens == whole.tokens && parts.positions == whole.positions)
  }

  @Test("an answer to a prompt of more rows than a pass has is that of one pass")
  func longPrompt() throws {
    let model = try GoldenModels.load("student")
    let text = cases.samples[2].ids
    let ids = Array((0..<PromptPass.mostRows / text.count + 2).flatMap { _ in text })
    #expect(PromptPass.all(of: Segments([ids.count])).count == 2)
    var request = GenerationRequest(promptIDs: ids, pictures: [])
    request.maximumTokens = 6
    let answer = try model.generate(request)
    let whole = read(
      model, SplicedSequences([ids], tokensPerPicture: 1), nil, mostRows: .max)
    #expect(answer.ids == whole.tokens.map { $0[0] }.prefix(answer.ids.count).map { $0 })
    #expect(answer.promptRows == ids.count)
  }

  @Test("reading can be given up before each block of each pass")
  func givenUp() throws {
    let model = try GoldenModels.load("student")
    let prompt = SplicedSequences([Array(repeating: 7, count: 30)], tokensPerPicture: 1)
    let blocks = model.decoder.blocks.count
    func polls(before end: Int) throws -> Int {
      var states = [model.decoder.makeState(capacity: 30)]
      var polls = 0
      defer { #expect(polls == min(end, 3 * blocks)) }
      _ = try model.decoder.readPrompts(prompt, images: nil, states: &states, mostRows: 10) {
        polls += 1
        if polls == end { throw CancellationError() }
      }
      return polls
    }
    #expect(try polls(before: .max) == 3 * blocks)
    #expect(throws: CancellationError.self) { try polls(before: blocks + 1) }
    #expect(throws: CancellationError.self) { try polls(before: 2 * blocks + 2) }
  }
}
