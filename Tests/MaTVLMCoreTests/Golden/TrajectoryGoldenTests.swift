import MaTVLMTestSupport
import Testing

@Suite("Training runs against PyTorch, update by update")
struct TrajectoryGoldenTests {
  @Test(
    "the paper's weights: losses, rates, norms and final parameters", arguments: CPUVariant.all,
    [1, 2])
  func paper(_ variant: CPUVariant, _ batchSize: Int) throws {
    #expect(try goldenFailures(variant) { try $0.compareTraining(batchSize: batchSize) } == [])
  }

  @Test("all three terms at another temperature", arguments: CPUVariant.all)
  func allTerms(_ variant: CPUVariant) throws {
    #expect(try goldenFailures(variant) { try $0.compareTrainingWithAllTerms() } == [])
  }
}
