import MaTVLMCore
import MaTVLMTensor

/// A distillation of the golden student by the golden teacher, and what it reported.
package struct GoldenRun: Sendable {
  package private(set) var trainer: Trainer
  package private(set) var events: [TrainingEvent] = []

  /// - Parameter prepare: changes the student before it is trained.
  package init(
    _ configuration: TrainingConfiguration, _ objective: DistillationObjective = .init(),
    data: (any TrainingData)? = nil, heldOut: (any TrainingData)? = nil, on device: Device = .cpu,
    prepare: (VisionLanguageModel) -> Void = { _ in }
  ) throws {
    let student = try GoldenModels.load("student", on: device)
    prepare(student)
    trainer = Trainer(
      distilling: try GoldenModels.load("teacher", on: device), into: student, objective,
      configuration, data: try data ?? GoldenModels.data(), heldOut: heldOut)
  }

  /// The same in stages.
  package init(
    stages: [TrainingStage], _ configuration: TrainingConfiguration,
    heldOut: (any TrainingData)? = nil, prepare: (VisionLanguageModel) -> Void = { _ in }
  ) throws {
    let student = try GoldenModels.load("student")
    prepare(student)
    trainer = try Trainer(
      distilling: try GoldenModels.load("teacher"), into: student, stages: stages, configuration,
      data: GoldenModels.data(), heldOut: heldOut)
  }

  /// Goes on together with other ranks.
  package mutating func join(_ ranks: any Communicator) throws { _ = try trainer.join(ranks) }

  package mutating func takePlaceOfFirstRank() throws { try trainer.takePlaceOfFirstRank() }

  /// Runs to the end; events up to an error stay.
  package mutating func run() throws {
    var events: [TrainingEvent] = []
    defer { self.events = events }
    try trainer.run { events.append($0) }
  }

  /// Makes so many updates.
  package mutating func advance(_ updates: Int) throws {
    for _ in 0..<updates { try trainer.advance { events.append($0) } }
  }

  /// Goes on from the newest usable checkpoint.
  package mutating func restore(
    from series: CheckpointSeries, damaged: (any Error) -> Void = { _ in }
  ) throws -> [String: Int]? {
    try series.restoreNewest(into: &trainer, damaged: damaged)
  }

  package var updates: [TrainingUpdate] {
    events.compactMap { if case .update(let update) = $0 { update } else { nil } }
  }

  package var skipped: [SampleError] {
    events.compactMap { if case .skipped(let error) = $0 { error } else { nil } }
  }

  package var evaluations: [(step: Int, losses: LossMeans)] {
    events.compactMap { event in
      if case .evaluation(let step, let losses) = event { (step, losses) } else { nil }
    }
  }

  /// The bits of every trained parameter.
  package var bits: [String: [UInt32]] {
    Dictionary(
      uniqueKeysWithValues: trainer.trainedParameters.map {
        ($0.name, $0.value.array().map(\.bitPattern))
      })
  }
}
