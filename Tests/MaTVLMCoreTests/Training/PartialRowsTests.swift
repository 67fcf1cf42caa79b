import MaTVLMCore
import MaTVLMMamba
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Matrices of which only some rows train")
struct PartialRowsTests {
  private static let stage = StageTests.stage("new") {
    ($0.trains, $0.objective.layerComparison, $0.objective.logitWeight) = (["new"], .heads, 0)
    ($0.optimizer.weightDecay, $0.warmupSteps, $0.clip) = (0.1, 0, 0.1)
  }

  @Test("What seeding copied stays as it is, to the bit; what it did not changes")
  func rows() throws {
    var run = try GoldenRun(stages: [Self.stage], StageTests.configuration())
    let mixers = run.trainer.student.decoder.blocks.compactMap { block -> Mamba2Mixer? in
      if case .mamba(let mixer) = block.mixer { mixer } else { nil }
    }
    let before = mixers.map { $0.inputProjection.weight.value.array() }
    let others = mixers.flatMap { [$0.normWeight, $0.convolutionWeight] }
    let otherValues = others.map { $0.value.array() }
    let output = mixers[0].outputProjection.weight.value.array()
    try run.run()
    for (mixer, before) in zip(mixers, before) {
      let after = mixer.inputProjection.weight.value.array()
      // z is rows 0..<64, x, B and C 64..<256, Δ 256..<260; of width 64.
      for row in 0..<260 {
        let own = row * 64..<(row + 1) * 64
        #expect((after[own] == before[own]) == (64..<256).contains(row), "row \(row)")
      }
    }
    #expect(zip(others, otherValues).allSatisfy { $0.value.array() != $1 })
    #expect(mixers[0].outputProjection.weight.value.array() == output)
  }

  @Test("Rows that train go as if the others did not exist, decay included")
  func decay() throws {
    // A whole matrix of two rows, and one of four of which the same two train.
    let (small, large) = (parameter([2, 3], 1), parameter([4, 3], 1))
    let slopes: [Float] = [1, -2, 3, 0.5, 0.25, -1]
    var configuration = AdamW.Configuration()
    configuration.weightDecay = 0.1
    let mask = Tensor(slopes.map { _ in 1 } + [Float](repeating: 0, count: 6), [4, 3])
    let rest = Array(large.value.array().suffix(6))
    var (first, second) = (AdamW(configuration), AdamW(configuration))
    for _ in 0..<5 {
      first.update([small], with: gradients(small, slopes), learningRate: 0.1)
      var wide = gradients(large, slopes + slopes)
      wide.multiply(large, by: mask)
      second.update([large], with: wide, learningRate: 0.1, masks: ["p": mask])
    }
    // Decay and step are rounded apart here and together there.
    #expect(
      mismatch(Array(large.value.array().prefix(6)), small.value.array(), relativeL2: 1e-6) == nil)
    #expect(Array(large.value.array().suffix(6)) == rest)
  }

  private func parameter(_ shape: Shape, _ value: Float) -> Parameter {
    let values = (0..<shape.count).map { value + Float($0 % 6) / 8 }
    let parameter = Parameter("p", Tensor(values, shape))
    parameter.isTrainable = true
    return parameter
  }

  private func gradients(_ parameter: Parameter, _ slopes: [Float]) -> Gradients {
    MaTVLMTensor.gradients(of: [(parameter.value, Tensor(slopes, parameter.shape))])
  }

  @Test("The norm counts only what trains, and beside a group that has all of it all trains")
  func norm() throws {
    var part = try GoldenRun(stages: [Self.stage], StageTests.configuration())
    var whole = Self.stage
    whole.trains = ["new", "mixers"]
    var all = try GoldenRun(stages: [whole], StageTests.configuration())
    let before = all.trainer.student.decoder.blocks[0].mixer.parameters.map { $0.value.array() }
    try part.run()
    try all.run()
    #expect(part.updates[0].gradientNorm < all.updates[0].gradientNorm)
    #expect(part.updates[0].losses == all.updates[0].losses)
    // All but the output projection, which these losses do not reach.
    let after = all.trainer.student.decoder.blocks[0].mixer.parameters.map { $0.value.array() }
    #expect(
      zip(before, after).map { $0 != $1 } == [true, true, true, true, true, true, true, false])
  }

  @Test("A run that goes on has the same bits")
  func resume() throws {
    let folder = try TemporaryFolder()
    let series = CheckpointSeries(folder["checkpoints"], keeping: 1)
    var whole = try GoldenRun(stages: [Self.stage], StageTests.configuration())
    try whole.run()
    var first = try GoldenRun(stages: [Self.stage], StageTests.configuration())
    try first.advance(2)
    try series.save(first.trainer, logs: [:])
    var second = try GoldenRun(stages: [Self.stage], StageTests.configuration())
    _ = try second.restore(from: series)
    try second.run()
    #expect(second.bits == whole.bits)
  }
}
