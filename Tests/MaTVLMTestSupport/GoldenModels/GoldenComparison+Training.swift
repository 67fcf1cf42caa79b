import MaTVLMCore
import MaTVLMTensor

extension GoldenComparison {
  /// Runs a golden trajectory on the golden data, in the files' order.
  private func run(_ golden: GoldenCases.Trajectory, batchSize: Int = 1) throws -> GoldenRun {
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

  private mutating func compare(_ updates: [TrainingUpdate], _ golden: GoldenCases.Trajectory) {
    expect(updates.count == golden.steps.count, "run", "\(updates.count) updates")
    for (update, step) in zip(updates, golden.steps) {
      expect(
        update.learningRate == step.lr, "update \(update.step)", "rate \(update.learningRate)")
      for (name, found, expected) in [
        ("kl", update.losses.kl ?? .nan, step.kl), ("layer", update.losses.layer, step.layer),
        ("ce", update.losses.ce ?? .nan, step.ce), ("norm", update.gradientNorm, step.gradientNorm),
      ] {
        compare("update \(update.step), \(name)", found, expected, bounds.trajectory)
      }
    }
  }

  /// A run with the paper's weights: losses, rates, norms and final parameters.
  package mutating func compareTraining(batchSize: Int) throws {
    let run = try run(cases.trajectory, batchSize: batchSize)
    compare(run.updates, cases.trajectory)
    let trained = run.trainer.trainedParameters
    let final = try Golden.tensors("trajectory_final.safetensors")
    expect(Set(trained.map(\.name)) == Set(final.names), "run", "it trained other parameters")
    for parameter in trained {
      let expected = try final.tensor(parameter.name, as: parameter.shape)
      compare("final \(parameter.name)", parameter.value, expected, bounds.trajectory)
    }
  }

  /// A run with all three terms at another temperature.
  package mutating func compareTrainingWithAllTerms() throws {
    let updates = try run(cases.trajectoryAllTerms).updates
    compare(updates, cases.trajectoryAllTerms)
    // The weighted sum that is logged.
    for (update, step) in zip(updates, cases.trajectoryAllTerms.steps) {
      let loss = 0.5 * step.kl + 0.25 * step.layer + step.ce
      compare("update \(update.step), loss", update.loss, loss, bounds.trajectory)
    }
  }
}
