import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Greedy answers against PyTorch, token by token")
struct GenerationGoldenTests {
  private let cases: GoldenCases

  init() throws { cases = try .read() }

  private func request(
    _ prompt: GoldenCases.Prompt, _ model: VisionLanguageModel
  ) throws -> GenerationRequest {
    let question = prompt.question.split(separator: "<image>\n").joined()
    let ids = model.promptIDs(question: question, withPicture: prompt.image != nil)
    #expect(ids == prompt.promptIds)
    var request = GenerationRequest(
      promptIDs: ids, pictures: try prompt.image.map { [try GoldenModels.picture($0)] } ?? [])
    request.maximumTokens = 24
    return request
  }

  @Test(
    "each prompt by itself", arguments: CPUVariant.all, ["teacher"] + GoldenModels.students)
  func single(_ variant: CPUVariant, _ folder: String) throws {
    let model = try GoldenModels.load(folder, on: variant.device)
    for prompt in cases.generations {
      let expected = folder == "teacher" ? prompt.teacher : prompt.student
      var streamed = ""
      let answer = try model.generate(try request(prompt, model)) {
        streamed += $0
        return true
      }
      #expect(answer.ids == expected.ids, "\(prompt.question)")
      #expect(answer.text == expected.text && streamed == expected.text)
      #expect(answer.end == (expected.ids.last == 0 ? .endToken : .maximumTokens))
      #expect(answer.promptIDs == prompt.promptIds)
    }
  }

  @Test(
    "all prompts together, of unequal lengths", arguments: CPUVariant.all, ["teacher", "student"])
  func together(_ variant: CPUVariant, _ folder: String) throws {
    let model = try GoldenModels.load(folder, on: variant.device)
    let requests = try cases.generations.map { try request($0, model) }
    let answers = try model.generate(requests) { _, _ in true }
    let expected = cases.generations.map { folder == "teacher" ? $0.teacher : $0.student }
    #expect(answers.map(\.ids) == expected.map(\.ids))
    #expect(answers.map(\.text) == expected.map(\.text))
  }
}
