import MaTVLMTestSupport
import Testing

@Suite("Greedy answers against PyTorch, token by token")
struct GenerationGoldenTests {
  @Test("each prompt by itself", arguments: CPUVariant.all, ["teacher"] + GoldenModels.students)
  func single(_ variant: CPUVariant, _ folder: String) throws {
    #expect(
      try goldenFailures(variant, variant.bounds(folder)) { try $0.compareAnswers(folder) } == [])
  }

  @Test(
    "all prompts together, of unequal lengths", arguments: CPUVariant.all, ["teacher", "student"])
  func together(_ variant: CPUVariant, _ folder: String) throws {
    #expect(try goldenFailures(variant) { try $0.compareAnswersTogether(folder) } == [])
  }

  @Test("Another token is likely in another type only when it is nearly as likely")
  func likelyTokens() throws {
    var comparison = try GoldenComparison(.cpu, .bfloat16)
    try comparison.compareAnswers("teacher")
    #expect(comparison.failures == [])
    try comparison.compareAnswers("student")
    #expect(comparison.failures == [])
  }
}
