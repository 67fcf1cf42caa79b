import MaTVLMMamba
import MaTVLMTensor

/// The device that a run is planned for.
public enum PlannedDevice: Sendable, Hashable {
  /// The processor, with as many threads as are set.
  case processor
  /// A card with activations of this type, bfloat16 or float32.
  case card(DType)

  var target: CountingBackend.Target {
    switch self {
    case .processor: .processor(threads: Device.processorThreads)
    case .card(let type): .card(type)
    }
  }
}

/// The first updates of a run, made on a device that computes nothing and counts: which bytes are
/// in use when most are, and which operations an update takes.
public struct RunCount: Sendable {
  /// One update.
  struct Update: Sendable {
    let rows: Int
    let operations: OperationCounts
  }

  public let configuration: TrainingConfiguration
  /// Processes that make the run together. Memory and operations are those of one of them.
  let ranks: Int
  /// Of the whole run, over its stages.
  let steps: Int
  /// How often an update goes through what was counted of one.
  private let rounds: Double
  /// The tensors of the update that takes most memory.
  let peak: MemoryCount
  let updates: [Update]
  /// One evaluation on held-out samples; nil when there is none.
  let evaluation: OperationCounts?
  let parameters: ParameterPlan
  /// Of the student's folder.
  let modelBytes: Int

  /// Counts updates as they are made.
  ///
  /// - Parameters:
  ///   - ranks: processes that make the run together; one of them is counted.
  ///   - samples: about so many samples are read; two updates at least.
  ///   - makeTrainer: the run on a device, with a teacher and a student of its own.
  /// - Throws: what `makeTrainer` throws, what is wrong with samples, and ``CommunicatorError`` when an
  ///   update has fewer sequences than there are ranks.
  public init(
    _ configuration: TrainingConfiguration, for device: PlannedDevice, ranks: Int = 1, samples: Int,
    explaining start: MixerStart? = nil,
    _ makeTrainer: (TrainingConfiguration, Device) throws -> Trainer
  ) throws {
    let backend = CountingBackend(device.target)
    var counted = configuration
    counted.evaluationInterval = nil
    // The batches of an update are alike, so a few of many are enough.
    counted.gradientAccumulation = min(
      configuration.gradientAccumulation, ranks * max(2, samples / configuration.batchSize))
    rounds =
      Double(configuration.gradientAccumulation) / Double(counted.gradientAccumulation)
    self.ranks = ranks
    var trainer = try makeTrainer(counted, Device(backend))
    try trainer.check(rankCount: ranks)
    if ranks > 1 { trainer.ranks = CountedRanks(size: ranks) }
    backend.assignWeights(trained: trainer.trainedParameters)
    backend.resetPeak()
    _ = backend.takeOperations()
    self.configuration = configuration
    parameters = ParameterPlan(of: trainer, start)
    modelBytes = parameters.student * (trainer.student.origin?.storageType ?? .float32).byteCount
    steps = trainer.steps
    let wanted = 1 + max(2, samples / configuration.sequencesPerUpdate)
    var updates: [Update] = []
    for number in 0..<min(wanted, steps) {
      // From the second one on there are moments from the beginning.
      if number == 1 { backend.resetPeak() }
      try trainer.advance { event in
        guard case .update(let update) = event else { return }
        updates.append(Update(rows: update.rows, operations: backend.takeOperations()))
      }
    }
    self.updates = updates
    peak = backend.peak
    evaluation = try configuration.evaluationInterval.flatMap { _ in
      try trainer.countEvaluation(backend)
    }
  }

  /// Rows of the longest update that was counted.
  var mostRows: Int { updates.map(\.rows).max() ?? 0 }

  /// Floating-point operations of an update, on average.
  public var operationsPerUpdate: Double {
    rounds * updates.reduce(0) { $0 + $1.operations.operations } / Double(max(1, updates.count))
  }

  /// Evaluations of the whole run.
  var evaluations: Int {
    guard evaluation != nil, let interval = configuration.evaluationInterval else { return 0 }
    return steps / interval + (steps % interval == 0 ? 0 : 1)
  }

  /// Floating-point operations of the run.
  public var operations: Double {
    operationsPerUpdate * Double(steps)
      + Double(evaluations) * (evaluation?.operations ?? 0)
  }

  /// The time of an update and of the run on a device, from the time of each operation of a typical
  /// update: each is done there once or more with inputs of zeros.
  public func time(on device: Device) throws -> TimePlan {
    let byWork = updates.sorted { $0.operations.operations < $1.operations.operations }
    let typical = byWork[byWork.count / 2]
    var zeros = ProbeInputs()
    let seconds = typical.operations.all.reduce(0.0) { sum, operation in
      sum + Double(operation.uses) * operation.seconds(on: device, &zeros)
    }
    try device.check()
    let rate = typical.operations.operations / max(seconds, 1e-9)
    return TimePlan(
      secondsPerUpdate: operationsPerUpdate / rate, seconds: operations / rate,
      operationsPerSecond: rate, probes: typical.operations.all.count)
  }
}

extension Trainer {
  /// What an evaluation takes; nil when nothing is held out.
  fileprivate func countEvaluation(_ backend: CountingBackend) throws -> OperationCounts? {
    guard let heldOut else { return nil }
    _ = backend.takeOperations()
    _ = try evaluate(heldOut)
    return backend.takeOperations()
  }
}
