import MaTVLMCore
import MaTVLMTestSupport

/// Golden samples in some order, some of them replaced by broken ones.
struct GoldenSamples: TrainingData {
  let golden: LLaVADataset
  let order: [Int]
  let broken: Set<Int>
  var count: Int { order.count }
  var identity: String { "golden samples \(order) without \(broken.sorted())" }

  init(_ order: [Int], broken: Set<Int> = []) throws {
    (golden, self.order, self.broken) = (try GoldenModels.data(), order, broken)
  }

  func sample(_ index: Int) throws -> TrainingSample {
    let number = order[index]
    if broken.contains(number) { throw SampleError(id: "bad \(number)", reason: "for the test") }
    return try golden.sample(number)
  }
}
