import Foundation
import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("What a run watches: undefined numbers, outliers, tensors without a gradient")
struct WatchedNumbersTests {
  private func configuration(
    _ change: (inout TrainingConfiguration) -> Void
  ) -> TrainingConfiguration {
    var configuration = TrainingConfiguration()
    (configuration.steps, configuration.shuffles, configuration.clip) = (24, false, nil)
    configuration.learningRate = 1e-6
    change(&configuration)
    return configuration
  }

  @Test("Of several samples the one is named whose numbers are not finite, with the tensor")
  func culprit() throws {
    // Finite, and too large for what is computed with it: only where there is a picture.
    var run = try GoldenRun(
      configuration {
        $0.batchSize = 2
        $0.gradientAccumulation = 2
      }, data: try GoldenSamples([2, 2, 2, 0])
    ) { student in
      for weight in student.connector.parameters {
        weight.assign(Tensor(Array(repeating: 1e38, count: weight.shape.count), weight.shape))
      }
    }
    let error = #expect(throws: TrainingError.self) { try run.run() }
    guard case .notFinite(1, let samples, let tensor)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(samples == ["0"])
    #expect(tensor.hasPrefix("the gradient of ") || tensor.hasSuffix(" loss"), "\(tensor)")
    #expect(run.updates.isEmpty)
  }

  @Test("Outliers are reported, or skipped by rule, and the run stays repeatable")
  func outliers() throws {
    func run(_ policy: OutlierPolicy) throws -> GoldenRun {
      var run = try GoldenRun(
        configuration {
          $0.outliers = policy
          // Close enough that some samples are out of the ordinary beside the others.
          $0.outlierFactor = 1.03
        })
      try run.run()
      return run
    }
    let reported = try run(.report)
    let outliers = reported.updates.compactMap(\.outlier)
    try #require(!outliers.isEmpty && reported.updates.prefix(16).allSatisfy { $0.outlier == nil })
    for outlier in outliers {
      #expect(!outlier.isSkipped && outlier.value > 1.03 * outlier.median)
    }
    let skipped = try run(.skip)
    let first = try #require(skipped.updates.first { $0.outlier != nil })
    #expect(first.outlier?.isSkipped == true)
    #expect(skipped.updates.count == 24 && skipped.bits != reported.bits)
    let folder = try TemporaryFolder()
    var part = try GoldenRun(
      configuration {
        $0.outliers = .skip
        $0.outlierFactor = 1.03
      })
    try part.advance(first.step - 1)
    let series = CheckpointSeries(folder["checkpoints"], keeping: 1)
    let before = part.bits
    try part.advance(1)
    #expect(part.bits == before, "the skipped update changed something")
    try series.save(part.trainer, logs: [:])
    var rest = try GoldenRun(
      configuration {
        $0.outliers = .skip
        $0.outlierFactor = 1.03
      })
    _ = try rest.restore(from: series)
    try rest.run()
    #expect(rest.bits == skipped.bits)
    #expect(rest.updates.map(\.outlier) == skipped.updates.suffix(24 - first.step).map(\.outlier))
  }

  @Test("A trained tensor that no gradient reaches is an error at the first update")
  func withoutGradient() throws {
    var trainer = Trainer(
      try StrayTask(), configuration { _ in }, data: try GoldenModels.data(), heldOut: nil)
    let before = trainer.trainedParameters.map { $0.value.array() }
    let error = #expect(throws: TrainingError.self) { try trainer.run { _ in } }
    #expect(error == .withoutGradient(step: 1, tensors: ["stray.weight"]))
    #expect(trainer.trainedParameters.map { $0.value.array() } == before)
  }

  @Test("Without a loss that reaches it the connector does not train; without pictures it waits")
  func connector() throws {
    var objective = DistillationObjective()
    objective.logitWeight = 0
    var run = try GoldenRun(configuration { $0.steps = 2 }, objective)
    try run.run()
    #expect(run.trainer.trainedParameters.allSatisfy { $0.name.contains(".mamba.") })
    var withoutPicture = try GoldenRun(
      configuration { $0.steps = 1 }, data: try GoldenSamples([2]))
    try withoutPicture.run()
    #expect(withoutPicture.updates.count == 1)
  }
}

/// Distillation that is to train a parameter which nothing uses.
private struct StrayTask: TrainingTask {
  private let task: DistillationTask
  let trained: [Parameter]

  init() throws {
    task = DistillationTask(
      teacher: try GoldenModels.load("teacher"), student: try GoldenModels.load("student"),
      DistillationObjective(), recompute: false)
    let stray = Parameter("stray.weight", .zeros([3]))
    stray.isTrainable = true
    trained = task.trained + [stray]
  }

  var student: VisionLanguageModel { task.student }
  var models: [(name: String, model: VisionLanguageModel)] { task.models }
  var objective: DistillationObjective { task.objective }
  func lossGradients(
    _ batch: Batch, sequences: Int, handingTo exchange: GradientExchange?
  ) -> (Gradients, LossSums) {
    task.lossGradients(batch, sequences: sequences, handingTo: exchange)
  }
  func losses(_ batch: Batch) -> LossSums { task.losses(batch) }
}
