import Foundation
import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Runs in stages")
struct StageTests {
  static func configuration(
    _ change: (inout TrainingConfiguration) -> Void = { _ in }
  ) -> TrainingConfiguration {
    var configuration = TrainingConfiguration()
    (configuration.steps, configuration.batchSize) = (3, 2)
    (configuration.gradientAccumulation, configuration.learningRate) = (2, 2e-3)
    (configuration.warmupSteps, configuration.decaySteps) = (1, 1)
    change(&configuration)
    return configuration
  }

  static func stage(
    _ name: String, _ change: (inout TrainingStage) -> Void = { _ in }
  ) -> TrainingStage {
    var stage = TrainingStage(name, as: configuration())
    change(&stage)
    return stage
  }

  /// MOHAWK's order, with a last stage that trains what no stage before it did.
  static let mohawk = [
    stage("orientation") {
      ($0.objective.layerComparison, $0.objective.logitWeight) = (.matrix, 0)
    },
    stage("alignment") {
      ($0.objective.reduction, $0.objective.logitWeight) = (.tokenMean, 0)
      ($0.steps, $0.batchSize) = (2, 1)
    },
    stage("transfer") {
      ($0.objective.layerWeight, $0.trains) = (0, ["all"])
      ($0.steps, $0.learningRate) = (2, 1e-4)
    },
  ]

  @Test("One stage is the plain run, bit for bit")
  func one() throws {
    let run = Self.configuration { ($0.steps, $0.clip) = (4, 0.5) }
    var objective = DistillationObjective()
    (objective.layerWeight, objective.labelWeight) = (0.5, 1)
    var plain = try GoldenRun(run, objective)
    var staged = try GoldenRun(stages: [TrainingStage("only", objective, as: run)], run)
    try plain.run()
    try staged.run()
    #expect(staged.bits == plain.bits)
    #expect(staged.updates.map(\.losses) == plain.updates.map(\.losses))
    #expect(staged.updates.map(\.gradientNorm) == plain.updates.map(\.gradientNorm))
    #expect(staged.updates.map(\.learningRate) == plain.updates.map(\.learningRate))
    #expect(staged.updates.allSatisfy { $0.stage == "only" })
    #expect(plain.updates.allSatisfy { $0.stage == nil })
  }

  @Test("After any update of any stage: a run that goes on ends with the same bits")
  func resume() throws {
    let folder = try TemporaryFolder()
    var whole = try GoldenRun(stages: Self.mohawk, Self.configuration())
    try whole.run()
    #expect(
      whole.updates.map(\.stage)
        == Self.mohawk.flatMap { Array(repeating: $0.name, count: $0.steps) })
    for stop in 1..<whole.trainer.steps {
      let series = CheckpointSeries(folder["checkpoints-\(stop)"], keeping: 1)
      var first = try GoldenRun(stages: Self.mohawk, Self.configuration())
      try first.advance(stop)
      try series.save(first.trainer, logs: [:])
      var second = try GoldenRun(stages: Self.mohawk, Self.configuration())
      _ = try second.restore(from: series)
      #expect(second.trainer.position == first.trainer.position)
      try second.run()
      #expect(second.bits == whole.bits, "after \(stop)")
      let updates = first.updates + second.updates
      #expect(updates.map(\.losses) == whole.updates.map(\.losses), "after \(stop)")
      #expect(updates.map(\.gradientNorm) == whole.updates.map(\.gradientNorm), "after \(stop)")
    }
  }

  @Test("A checkpoint of a run whose stages have other names is refused")
  func otherStages() throws {
    let folder = try TemporaryFolder()
    let series = CheckpointSeries(folder["checkpoints"], keeping: 1)
    var run = try GoldenRun(stages: Self.mohawk, Self.configuration())
    try run.advance(1)
    try series.save(run.trainer, logs: [:])
    var others = Self.mohawk
    others[0].name = "another"
    var other = try GoldenRun(stages: others, Self.configuration())
    #expect(throws: CheckpointError.self) { _ = try other.restore(from: series) }
    let difference = try #require(
      try other.trainer.identity().difference(
        from: GoldenRun(stages: Self.mohawk, Self.configuration()).trainer.identity()))
    #expect(difference.contains("stages.another.steps"), "\(difference)")
  }

  @Test("Each stage has its own rate from its own beginning, and its own batches")
  func schedule() throws {
    var run = try GoldenRun(stages: Self.mohawk, Self.configuration())
    try run.run()
    #expect(run.updates.map(\.learningRate) == [0, 2e-3, 2e-3, 0, 2e-3, 0, 1e-4])
    #expect(run.trainer.steps == 7)
    // 4 sequences, then 2, then 4.
    let rows = run.updates.map(\.rows)
    #expect(rows[3] < rows[2] && rows[4] < rows[5], "\(rows)")
  }

  @Test("Only what a stage trains changes, and the optimiser begins anew")
  func trained() throws {
    let stages = [
      Self.stage("convolution") {
        ($0.trains, $0.objective.logitWeight, $0.warmupSteps) = (["*.mamba.conv1d.*"], 0, 0)
      },
      Self.stage("connector") {
        ($0.trains, $0.objective.layerWeight, $0.warmupSteps) = (["connector"], 0, 0)
      },
    ]
    var run = try GoldenRun(stages: stages, Self.configuration())
    let start = run.values
    try run.advance(3)
    let middle = run.values
    try run.advance(3)
    #expect(Set(start.keys.filter { middle[$0] != start[$0] }).allSatisfy { $0.contains("conv1d") })
    #expect(start.keys.count { middle[$0] != start[$0] } == 4)
    let later = Set(start.keys.filter { run.values[$0] != middle[$0] })
    #expect(later == Set(run.trainer.student.connector.parameters.map(\.name)))
    #expect(run.trainer.student.parameters.count(where: \.isTrainable) == later.count)
  }

  @Test("Evaluations come at each stage's end, and the best is that of the present stage")
  func evaluations() throws {
    let run = Self.configuration { $0.evaluationInterval = 100 }
    var staged = try GoldenRun(stages: Self.mohawk, run, heldOut: GoldenModels.data())
    try staged.run()
    #expect(staged.evaluations.map(\.step) == [3, 5, 7])
    #expect(staged.evaluations.allSatisfy { $0.losses.kl != nil })
    #expect(staged.trainer.position.best?.step == 7)
    #expect(
      staged.updates.map { $0.losses.kl == nil } == [true, true, true, true, true, false, false])
  }
}

extension GoldenRun {
  /// Every number of the student.
  fileprivate var values: [String: [Float]] {
    Dictionary(
      uniqueKeysWithValues: trainer.student.parameters.map { ($0.name, $0.value.array()) })
  }
}
