import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Training runs against PyTorch, update by update")
struct TrajectoryGoldenTests {
  private let cases: GoldenCases

  init() throws { cases = try .read() }

  /// Runs a golden trajectory on the golden data, in the files' order.
  private func run(
    _ golden: GoldenCases.Trajectory, on device: Device, batchSize: Int = 1
  ) throws -> GoldenRun {
    var objective = DistillationObjective()
    objective.layerWeight = golden.weights["layer"] ?? 0
    objective.logitWeight = golden.weights["kl"] ?? 0
    objective.labelWeight = golden.weights["ce"] ?? 0
    objective.temperature = golden.temperature ?? 1
    var configuration = TrainingConfiguration()
    configuration.steps = golden.steps.count
    configuration.batchSize = batchSize
    configuration.gradientAccumulation = golden.accumulate / batchSize
    configuration.learningRate = golden.lr
    (configuration.warmupSteps, configuration.decaySteps) = (golden.warmup, golden.decay)
    configuration.shuffles = false
    var run = try GoldenRun(configuration, objective, on: device)
    try run.run()
    return run
  }

  private func expectSame(
    _ updates: [TrainingUpdate], _ golden: GoldenCases.Trajectory
  ) {
    #expect(updates.count == golden.steps.count)
    for (update, step) in zip(updates, golden.steps) {
      #expect(update.learningRate == step.lr, "update \(update.step)")
      for (name, found, expected) in [
        ("kl", update.losses.kl ?? .nan, step.kl), ("layer", update.losses.layer, step.layer),
        ("ce", update.losses.ce ?? .nan, step.ce), ("norm", update.gradientNorm, step.gradientNorm),
      ] {
        let wrong = deviation(found, from: expected, relative: 1e-4)
        #expect(wrong == nil, "update \(update.step), \(name)")
      }
    }
  }

  @Test(
    "the paper's weights: losses, rates, norms and final parameters", arguments: CPUVariant.all,
    [1, 2])
  func paper(_ variant: CPUVariant, _ batchSize: Int) throws {
    let run = try run(cases.trajectory, on: variant.device, batchSize: batchSize)
    expectSame(run.updates, cases.trajectory)
    let trained = run.trainer.trainedParameters
    let final = try Golden.tensors("trajectory_final.safetensors")
    #expect(Set(trained.map(\.name)) == Set(final.names))
    for parameter in trained {
      let wrong = mismatch(
        parameter.value.array(), try final.values(parameter.name), relativeL2: 1e-4)
      #expect(wrong == nil, "\(parameter.name)")
    }
  }

  @Test("all three terms at another temperature", arguments: CPUVariant.all)
  func allTerms(_ variant: CPUVariant) throws {
    let updates = try run(cases.trajectoryAllTerms, on: variant.device).updates
    expectSame(updates, cases.trajectoryAllTerms)
    // The weighted sum that is logged.
    for (update, step) in zip(updates, cases.trajectoryAllTerms.steps) {
      let loss = 0.5 * step.kl + 0.25 * step.layer + step.ce
      #expect(deviation(update.loss, from: loss, relative: 1e-4) == nil)
    }
  }
}
