import MaTVLMTestSupport
import Testing

@Suite("Losses and their gradients against PyTorch")
struct LossGoldenTests {
  @Test(
    "every loss of every sample at both temperatures", arguments: CPUVariant.all, [Float(1), 2])
  func losses(_ variant: CPUVariant, _ temperature: Float) throws {
    #expect(try goldenFailures(variant) { try $0.compareLosses(temperature: temperature) } == [])
  }

  @Test("the teacher's own cross-entropy, and no divergence from itself", arguments: CPUVariant.all)
  func teacher(_ variant: CPUVariant) throws {
    #expect(try goldenFailures(variant) { try $0.compareTeacherLosses() } == [])
  }

  @Test("every gradient of every term", arguments: CPUVariant.all, [false, true])
  func gradients(_ variant: CPUVariant, _ recompute: Bool) throws {
    #expect(try goldenFailures(variant) { try $0.compareGradients(recompute: recompute) } == [])
  }
}
