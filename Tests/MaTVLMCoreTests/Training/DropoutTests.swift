import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Dropout in the student")
struct DropoutTests {
  private func dropout(
    _ rate: Float, seed: UInt64 = 1, step: Int = 0, samples: [Int] = [3, 4]
  ) throws -> BlockDropout {
    try #require(BlockDropout(rate: rate, seed: seed, step: step, samples: samples))
  }

  @Test("Nothing is made for a rate of 0")
  func none() {
    #expect(BlockDropout(rate: 0, seed: 1, step: 0, samples: [0]) == nil)
  }

  @Test("Each number is dropped with the rate, the others keep the mean", arguments: [0.1, 0.5])
  func rate(_ rate: Float) throws {
    let segments = Segments([90, 110])
    let ones = Tensor([Float](repeating: 1, count: 200 * 256), [200, 256])
    let values = try dropout(rate)(ones, .mixer, layer: 2, segments).array()
    #expect(values.allSatisfy { $0 == 0 || $0 == 1 / (1 - rate) })
    let dropped = Double(values.count { $0 == 0 }) / Double(values.count)
    // Five standard deviations of a binomial share of 51200.
    let deviation = (Double(rate) * Double(1 - rate) / Double(values.count)).squareRoot()
    #expect(abs(dropped - Double(rate)) < 5 * deviation, "\(dropped)")
  }

  @Test("Every place drops its own: update, sample, seed, layer, branch, row")
  func places() throws {
    let ones = Tensor([Float](repeating: 1, count: 2 * 64), [2, 64])
    let two = Segments([1, 1])
    func values(_ dropout: BlockDropout, _ branch: BlockDropout.Branch = .mixer, layer: Int = 0)
      -> [Float]
    { dropout(ones, branch, layer: layer, two).array() }
    let first = values(try dropout(0.5))
    #expect(values(try dropout(0.5)) == first)
    #expect(Array(first.prefix(64)) != Array(first.suffix(64)))
    #expect(values(try dropout(0.5, seed: 2)) != first)
    #expect(values(try dropout(0.5, step: 1)) != first)
    #expect(values(try dropout(0.5), layer: 1) != first)
    for branch in BlockDropout.Branch.allCases where branch != .mixer {
      #expect(values(try dropout(0.5), branch) != first)
    }
    // The same sample drops the same wherever it stands.
    let swapped = values(try dropout(0.5, samples: [4, 3]))
    #expect(Array(swapped.prefix(64)) == Array(first.suffix(64)))
    let rows = try dropout(0.5, samples: [3])(ones, .mixer, layer: 0, Segments([2])).array()
    #expect(Array(rows.prefix(64)) == Array(first.prefix(64)))
    #expect(Array(rows.prefix(64)) != Array(rows.suffix(64)))
  }

  private func run(_ rate: Float, _ change: (inout TrainingConfiguration) -> Void = { _ in }) throws
    -> GoldenRun
  {
    try GoldenRun(
      StageTests.configuration {
        ($0.steps, $0.studentDropout, $0.evaluationInterval) = (4, rate, 4)
        change(&$0)
      }, heldOut: GoldenModels.data())
  }

  @Test("It changes what is learned and never an evaluation")
  func evaluation() throws {
    let runs = try [Float(0), 0.3].map { rate in
      var run = try run(rate) { $0.learningRate = 1e-12 }
      try run.run()
      return run
    }
    // The same parameters but for 10⁻¹², so the same losses where nothing is dropped.
    let (plain, dropping) = (runs[0].evaluations[0].losses, runs[1].evaluations[0].losses)
    #expect(deviation(dropping.layer, from: plain.layer, relative: 1e-6) == nil)
    #expect(deviation(dropping.kl ?? .nan, from: plain.kl ?? .nan, relative: 1e-5) == nil)
    for (a, b) in zip(runs[0].updates, runs[1].updates) {
      #expect(b.losses.layer > a.losses.layer && b.losses.kl! > a.losses.kl!)
    }
  }

  @Test("A run that goes on, and one that recomputes its blocks, drop the same")
  func repeatable() throws {
    let folder = try TemporaryFolder()
    let series = CheckpointSeries(folder["checkpoints"], keeping: 1)
    var whole = try run(0.2)
    try whole.run()
    var first = try run(0.2)
    try first.advance(2)
    try series.save(first.trainer, logs: [:])
    var second = try run(0.2)
    _ = try second.restore(from: series)
    try second.run()
    #expect(second.bits == whole.bits)
    var recomputing = try run(0.2) { $0.recompute = true }
    try recomputing.run()
    #expect(recomputing.bits == whole.bits)
    var other = try run(0.2) { $0.seed = 43 }
    try other.run()
    #expect(other.bits != whole.bits)
  }

  @Test("The mean over many masks is what is without dropout")
  func expectation() throws {
    let segments = Segments([4])
    let x = Tensor((0..<32).map { Float($0) - 15.5 }, [4, 8])
    var mean = [Double](repeating: 0, count: 32)
    let count = 4000
    for step in 0..<count {
      let y = try dropout(0.3, step: step, samples: [0])(x, .mlp, layer: 1, segments).array()
      for index in mean.indices { mean[index] += Double(y[index]) / Double(count) }
    }
    // A kept number is divided by 0.7, so its standard deviation is √(0.3 / 0.7) of it.
    for (found, expected) in zip(mean, x.array()) {
      let deviation = abs(Double(expected)) * (0.3 / 0.7 / Double(count)).squareRoot()
      #expect(abs(found - Double(expected)) < 5 * deviation)
    }
  }
}
