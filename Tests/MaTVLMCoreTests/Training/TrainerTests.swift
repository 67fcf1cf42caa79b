import Foundation
import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Runs: broken samples, undefined numbers, evaluations, logs")
struct TrainerTests {
  private func data(broken: Set<Int>) throws -> GoldenSamples {
    try GoldenSamples(Array(0..<8), broken: broken)
  }

  private func configuration(
    steps: Int, _ change: (inout TrainingConfiguration) -> Void = { _ in }
  ) -> TrainingConfiguration {
    var configuration = TrainingConfiguration()
    (configuration.steps, configuration.shuffles) = (steps, false)
    change(&configuration)
    return configuration
  }

  @Test("broken samples are skipped, reported, and the next ones take their place")
  func skip() throws {
    var run = try GoldenRun(
      configuration(steps: 3) {
        $0.brokenSamples = .skip
        $0.batchSize = 2
      }, data: try data(broken: [0, 3, 4]))
    try run.run()
    #expect(run.skipped.map(\.id) == ["bad 0", "bad 3", "bad 4", "bad 0"])
    #expect(run.updates.map(\.step) == [1, 2, 3])
    // The updates had 1 and 2, 5 and 6, 7 and, with 0 skipped again, 1.
    var whole = try GoldenRun(
      configuration(steps: 1) { $0.batchSize = 2 }, data: GoldenSamples([1, 2]))
    try whole.run()
    #expect(run.updates[0].losses == whole.updates[0].losses)
  }

  @Test("a broken sample stops the run by its id, after the updates before it")
  func stop() throws {
    var run = try GoldenRun(configuration(steps: 4), data: try data(broken: [2]))
    let error = #expect(throws: SampleError.self) { try run.run() }
    #expect(error?.id == "bad 2" && run.updates.count == 2)
  }

  @Test("data without one usable sample")
  func nothingUsable() throws {
    var run = try GoldenRun(
      configuration(steps: 1) { $0.brokenSamples = .skip }, data: try data(broken: Set(0..<8)))
    let error = #expect(throws: DatasetError.self) { try run.run() }
    #expect(error == .noUsableSample(samples: 8) && run.skipped.count == 8)
  }

  @Test("one broken sample is skipped in every epoch, however many there are")
  func epochs() throws {
    var run = try GoldenRun(
      configuration(steps: 13) { $0.brokenSamples = .skip },
      data: try GoldenSamples([2, 7], broken: [7]))
    try run.run()
    #expect(
      run.updates.count == 13 && run.skipped.map(\.id) == Array(repeating: "bad 7", count: 12))
  }

  @Test("a loss that is not a number stops the run before anything is changed")
  func notFinite() throws {
    var run = try GoldenRun(configuration(steps: 2) { $0.batchSize = 2 }) { student in
      let weight = student.connector.parameters[0]
      weight.assign(Tensor(Array(repeating: .nan, count: weight.shape.count), weight.shape))
    }
    let before = run.bits
    let error = TrainingError.notFinite(
      step: 1, samples: ["0", "1"], tensor: "connector._connector.0.weight")
    #expect(throws: error) { try run.run() }
    #expect(run.bits == before && run.updates.isEmpty)
  }

  @Test("evaluations come at their interval and at the end, and are means over the samples")
  func evaluation() throws {
    var run = try GoldenRun(
      configuration(steps: 5) {
        $0.evaluationInterval = 2
        $0.batchSize = 3
        $0.learningRate = 1e-12
      }, heldOut: try data(broken: [1, 6]))
    try run.run()
    #expect(run.evaluations.map(\.step) == [2, 4, 5])
    let expected = try GoldenCases.read().losses.enumerated().filter {
      ![1, 6].contains($0.offset)
    }
    .map(\.element.cold)
    for evaluation in run.evaluations {
      let losses = evaluation.losses
      let layer = expected.reduce(0) { $0 + $1.layer } / 6
      let kl = expected.reduce(0) { $0 + $1.kl } / 6
      let ce = expected.reduce(0) { $0 + $1.ce } / 6
      #expect(deviation(losses.layer, from: layer, relative: 1e-5) == nil)
      #expect(deviation(losses.kl ?? .nan, from: kl, relative: 1e-5) == nil)
      #expect(deviation(losses.ce ?? .nan, from: ce, relative: 1e-5) == nil)
    }
  }

  @Test("pretraining changes every parameter, alike with recomputed blocks")
  func pretraining() throws {
    let results = try [false, true].map { recompute in
      let model = try GoldenModels.load("teacher")
      let before = model.parameters.map { $0.value.array() }
      var trainer = Trainer(
        pretraining: model,
        configuration(steps: 3) {
          $0.batchSize = 4
          $0.learningRate = 1e-3
          $0.recompute = recompute
        }, data: try GoldenModels.data())
      #expect(Set(trainer.trainedParameters.map(\.name)) == Set(model.parameters.map(\.name)))
      var losses: [Double] = []
      try trainer.run {
        if case .update(let update) = $0 { losses.append(update.losses.ce ?? .nan) }
      }
      // Updates 1 and 3 see the same samples.
      #expect(losses[2] < losses[0], "\(losses)")
      let after = model.parameters.map { $0.value.array() }
      for (parameter, (a, b)) in zip(model.parameters, zip(before, after)) {
        // A key's bias moves all scores of a query alike: its gradient is rounding.
        #expect(a != b || parameter.name.hasSuffix("k_proj.bias"), "\(parameter.name)")
      }
      return after
    }
    #expect(results[0] == results[1])
  }

  @Test("log.jsonl has one object for each update, with the agreed keys")
  func log() throws {
    let folder = try TemporaryFolder()
    let log = try TrainingLog(in: folder.url)
    var objective = DistillationObjective()
    (objective.layerWeight, objective.logitWeight, objective.labelWeight) = (0.5, 2, 3)
    var run = try GoldenRun(
      configuration(steps: 3) { $0.evaluationInterval = 2 }, objective,
      heldOut: try GoldenModels.data())
    try run.run()
    for event in run.events { try log.append(event) }
    func lines(_ name: String) throws -> [[String: Double]] {
      try String(contentsOf: folder[name], encoding: .utf8).split(separator: "\n").map {
        try JSONDecoder().decode([String: Double].self, from: Data($0.utf8))
      }
    }
    let updates = try lines("log.jsonl")
    #expect(updates.map { $0["step"] } == [1, 2, 3])
    for (line, update) in zip(updates, run.updates) {
      #expect(
        Set(line.keys) == [
          "step", "lr", "layer", "kl", "ce", "loss", "gradient_norm", "tokens_per_second",
        ])
      #expect(line["lr"] == update.learningRate && line["gradient_norm"] == update.gradientNorm)
      let losses = update.losses
      #expect(line["layer"] == losses.layer && line["kl"] == losses.kl && line["ce"] == losses.ce)
      let loss = 0.5 * losses.layer + 2 * (losses.kl ?? .nan) + 3 * (losses.ce ?? .nan)
      #expect(deviation(line["loss"] ?? 0, from: loss, relative: 1e-12) == nil)
    }
    #expect(try lines("evaluation.jsonl").map { $0["step"] } == [2, 3])
  }
}
