import Foundation
import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Keys and values kept in bfloat16")
struct NarrowCacheTests {
  private let cases: GoldenCases

  init() throws { cases = try .read() }

  private func model(_ folder: String, on device: Device = .cpu) throws -> VisionLanguageModel {
    var model = try GoldenModels.load(folder, on: device)
    model.cacheType = .bfloat16
    return model
  }

  @Test("logits stay as near as eight bits of keys and values allow", arguments: CPUVariant.all)
  func logits(_ variant: CPUVariant) throws {
    let model = try model("teacher", on: variant.device)
    let ids = cases.samples[2].ids
    let exact = model.logits([ids])
    let embedding = model.decoder.embedding
    let x = embedding(Tensor(indices: ids, on: variant.device))  // [T, D]
    var states = [model.decoder.makeState(capacity: 3)]
    let first = ids.count - 8
    var logits: [Float] = []
    for rows in [Array(0..<first)] + (first..<ids.count).map({ [$0] }) {
      let piece = gatherRows(x, Tensor(indices: rows, on: variant.device))
      logits += model.decoder.head(
        model.decoder(piece, Segments([rows.count]), states: &states)
      ).array()
    }
    // A rounding to bfloat16 is 2⁻⁹ at most; four layers add up a few of them.
    #expect(mismatch(logits, exact.array(), relativeL2: 0x1p-7) == nil)
    #expect(mismatch(logits, exact.array(), relativeL2: 1e-6) != nil)  // it is narrow
  }

  @Test(
    "half the bytes, and the same tokens whether reused or read again",
    arguments: ["teacher", "student"])
  func sessions(_ folder: String) throws {
    let folders = try TemporaryFolder()
    let place = folders["a.session"]
    let wide = try GoldenModels.load(folder)
    let narrow = try model(folder)
    let questions = try SessionQuestion.golden()
    var session = ChatSession(narrow)
    session.maximumTokens = 12
    try expectEqualAnswers(&session, Array(questions.prefix(3)))
    let caches = { (model: VisionLanguageModel) in
      model.decoder.makeState(capacity: 100).byteCount
        - model.decoder.makeState(capacity: 0).byteCount
    }
    #expect(2 * caches(narrow) == caches(wide))
    try session.save(to: place)
    let file = try SafetensorsFile(place)
    #expect(file.entry("layers.1.keys")?.type == .bfloat16)
    var loaded = try ChatSession.load(place, with: narrow)
    loaded.maximumTokens = 12
    try expectEqualAnswers(&loaded, Array(questions.suffix(1)))
    // The same conversation with wide keys and values.
    var widened = try ChatSession.load(place, with: wide)
    _ = try widened.respond(to: "how many")
    #expect(widened.turns == 4)
  }
}
