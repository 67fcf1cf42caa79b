import Foundation
import MaTVLMCore
import MaTVLMTestSupport
import Testing

@Suite("Answers to a benchmark's questions")
struct BenchmarkAnswersTests {
  private let model: VisionLanguageModel

  init() throws { model = try GoldenModels.load("teacher") }

  @Test("one batch of all questions says what PyTorch says to each")
  func golden() throws {
    let prompts = try GoldenCases.read().generations
    let questions = try prompts.map { prompt in
      AskedQuestion(
        text: prompt.question, picture: try prompt.image.map { try GoldenModels.picture($0) })
    }
    let answers = try model.answers(questions, limit: TokenLimit(24))
    #expect(prompts.contains { $0.image != nil } && prompts.contains { $0.image == nil })
    #expect(
      answers == prompts.map { $0.teacher.text.trimmingCharacters(in: .whitespacesAndNewlines) })
  }

  @Test("a placeholder in a question without a picture stands for nothing")
  func placeholder() throws {
    let limit = TokenLimit(4)
    let answers = try model.answers(
      ["What?", "<image>What?", "What<image>?"].map { AskedQuestion(text: $0, picture: nil) },
      limit: limit)
    #expect(Set(answers).count == 1)
  }

  @Test("the published limit leaves what the prompt did not take, and at least one token")
  func limit() {
    #expect(TokenLimit(512).newTokens(afterPrompt: 100) == 512)
    #expect(TokenLimit(512, countsPrompt: true).newTokens(afterPrompt: 100) == 412)
    #expect(TokenLimit(512, countsPrompt: true).newTokens(afterPrompt: 600) == 1)
  }
}
