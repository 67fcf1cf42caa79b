import Foundation
import MaTVLMDistillation
import MaTVLMTensor

/// A run: takes samples in order, adds up gradients, steps, and reports.
public struct Trainer: Sendable {
  let task: any TrainingTask
  let configuration: TrainingConfiguration
  let data: any TrainingData
  let heldOut: (any TrainingData)?
  private(set) var optimizer: AdamW
  /// How far the run is.
  public private(set) var position = TrainingPosition()
  /// Reads ahead; begins with the first update.
  private var batches: BatchLoader?
  private var unreached: UnreachedParameters
  /// The processes that make each update together; see ``join(_:)``.
  var ranks: any Communicator = OneProcess()

  /// Distils `teacher` into `student`, whose mixers and connector begin to train.
  ///
  /// - Parameter visionCache: where features of pictures are kept from one visit to the next; nil:
  ///   they are computed each time. Results are the same.
  /// - Precondition: the configuration has no problem, and there is data.
  public init(
    distilling teacher: VisionLanguageModel, into student: VisionLanguageModel,
    _ objective: DistillationObjective, _ configuration: TrainingConfiguration,
    data: any TrainingData, heldOut: (any TrainingData)? = nil, visionCache: VisionCache? = nil
  ) {
    self.init(
      DistillationTask(
        teacher: teacher, student: student, objective, recompute: configuration.recompute,
        visionCache: visionCache),
      configuration, data: data, heldOut: heldOut)
  }

  /// Trains every parameter of `model` on the answers' tokens.
  ///
  /// - Precondition: the configuration has no problem, and there is data.
  public init(
    pretraining model: VisionLanguageModel, _ configuration: TrainingConfiguration,
    data: any TrainingData, heldOut: (any TrainingData)? = nil
  ) {
    self.init(
      PretrainingTask(model, recompute: configuration.recompute), configuration, data: data,
      heldOut: heldOut)
  }

  package init(
    _ task: any TrainingTask, _ configuration: TrainingConfiguration, data: any TrainingData,
    heldOut: (any TrainingData)?
  ) {
    require(configuration.problem == nil, "Trainer: \(configuration.problem ?? "")")
    require(data.count > 0, "Trainer: no data")
    (self.task, self.configuration, self.data) = (task, configuration, data)
    self.heldOut = heldOut
    optimizer = AdamW(configuration.optimizer)
    unreached = UnreachedParameters(task.trained)
  }

  /// The model that learns.
  public var student: VisionLanguageModel { task.student }

  /// The parameters that change.
  public var trainedParameters: [Parameter] { task.trained }

  /// Updates of the whole run.
  public var steps: Int { configuration.steps }

  public var isFinished: Bool { position.step >= configuration.steps }

  /// Runs to the end.
  ///
  /// - Throws: as ``advance(_:)``.
  public mutating func run(_ report: (TrainingEvent) throws -> Void) throws {
    while !isFinished { try advance(report) }
  }

  /// Makes one update, and the evaluation that is due after it.
  ///
  /// - Throws: ``SampleError`` when a broken sample is to stop the run, ``DatasetError`` when no
  ///   sample can be used, ``TrainingError`` when numbers are no longer finite, and what a device
  ///   and `report` throw.
  /// - Precondition: the run is not finished.
  public mutating func advance(_ report: (TrainingEvent) throws -> Void) throws {
    require(!isFinished, "advance: all \(configuration.steps) updates are made")
    let loader = batches ?? makeLoader()
    batches = nil  // What was read ahead is lost if this fails.
    try report(.update(update(loader, report)))
    batches = loader
    if let interval = configuration.evaluationInterval, let heldOut,
      position.step % interval == 0 || isFinished
    {
      let losses = try evaluate(heldOut)
      note(losses)
      try report(.evaluation(step: position.step, losses))
    }
  }

  /// Goes on from a checkpoint that was read for this trainer.
  mutating func restore(_ restored: TrainingCheckpoint.Restored) {
    for (parameter, value) in zip(task.trained, restored.values) { parameter.assign(value) }
    optimizer = AdamW(configuration.optimizer, moments: restored.moments)
    position = restored.state.position
    batches = nil
  }

  private func makeLoader() -> BatchLoader {
    BatchLoader(
      data, for: task.student, rounds, updates: configuration.steps - position.step,
      maximumLength: configuration.maximumLength,
      order: SampleOrder(
        count: data.count, shuffles: configuration.shuffles, seed: configuration.seed,
        visits: position.samples.visits),
      broken: position.samples.broken, configuration.brokenSamples, among: ranks)
  }

  private var rounds: UpdateRounds {
    UpdateRounds(
      sequences: configuration.sequencesPerUpdate, batchSize: configuration.batchSize,
      ranks: ranks.size)
  }

  private mutating func note(_ losses: LossMeans) {
    let loss = task.objective.weighted(losses)
    if loss < position.best?.loss ?? .infinity {
      position.best = BestEvaluation(step: position.step, loss: loss)
    }
  }

  private mutating func update(
    _ batches: BatchLoader, _ report: (TrainingEvent) throws -> Void
  ) throws -> TrainingUpdate {
    let clock = ContinuousClock()
    let start = clock.now
    let sum = try added(accumulate(batches, report))
    let norm = sum.gradients.norm()
    try task.student.device.check()
    guard norm.isFinite, sum.losses.isFinite else {
      throw try notFinite(sum.indices, sum.gradients)
    }
    try unreached.check(
      sum.gradients, step: position.step + 1,
      exempt: sum.hasPictures ? [] : task.reachedByPictures)
    let losses = sum.losses.mean(over: configuration.sequencesPerUpdate)
    let outlier = judge(losses, norm)
    let rate = configuration.schedule.rate(at: position.step)
    if outlier?.isSkipped != true {
      optimizer.update(
        task.trained, with: sum.gradients, learningRate: Float(rate),
        gradientScale: clippingFactor(norm))
    }
    position.step += 1
    position.samples = sum.end
    return TrainingUpdate(
      step: position.step, learningRate: rate, losses: losses, objective: task.objective,
      gradientNorm: Double(norm), rows: sum.rows, seconds: (clock.now - start) / .seconds(1),
      outlier: outlier)
  }

  /// What the batches of an update add up to, on one rank or on all.
  struct Accumulation {
    var gradients = Gradients()
    var losses = LossSums()
    var rows = 0
    var hasPictures = false
    /// Samples of this rank.
    var indices: [Int] = []
    var end: SamplePosition
  }

  private func accumulate(
    _ batches: BatchLoader, _ report: (TrainingEvent) throws -> Void
  ) throws -> Accumulation {
    var sum = Accumulation(end: position.samples)
    for _ in 0..<rounds.count {
      let prepared = batches.next()
      for error in prepared.skipped { try report(.skipped(error)) }
      sum.end = prepared.end
      guard let batch = try prepared.batch.get() else { continue }
      let (gradients, losses) = task.lossGradients(
        batch, sequences: configuration.sequencesPerUpdate)
      sum.gradients += gradients
      sum.losses += losses
      sum.rows += batch.spliced.segments.rows
      sum.hasPictures = sum.hasPictures || !batch.pictures.isEmpty
      sum.indices += prepared.indices
      try task.student.device.check()
    }
    return sum
  }

  private mutating func judge(_ losses: LossMeans, _ norm: Float) -> Outlier? {
    guard let factor = configuration.outlierFactor else { return nil }
    var outlier = position.watch.judge(
      loss: task.objective.weighted(losses), norm: Double(norm), factor: factor)
    outlier?.isSkipped = configuration.outliers == .skip
    return outlier
  }

  func batch(_ examples: [TrainingExample]) -> Batch {
    Batch(examples, for: task.student, maximumLength: configuration.maximumLength)
  }

  /// As `torch.nn.utils.clip_grad_norm_`.
  private func clippingFactor(_ norm: Float) -> Float {
    guard let clip = configuration.clip else { return 1 }
    return min(1, clip / (norm + 1e-6))
  }

  /// Held-out samples are few and whole: a broken one is left out here too.
  func evaluate(_ heldOut: any TrainingData) throws -> LossMeans {
    var sums = LossSums()
    var sequences = 0
    let starts = stride(from: 0, to: heldOut.count, by: configuration.batchSize)
    for (batchNumber, start) in starts.enumerated() where batchNumber % ranks.size == ranks.rank {
      let end = min(heldOut.count, start + configuration.batchSize)
      let examples = (start..<end).compactMap { index in
        try? TrainingExample(heldOut.sample(index), for: task.student)
      }
      guard !examples.isEmpty else { continue }
      sums += task.losses(batch(examples))
      sequences += examples.count
    }
    (sums, sequences) = try added(sums, sequences)
    guard sequences > 0 else { throw DatasetError.noUsableSample(samples: heldOut.count) }
    return sums.mean(over: sequences)
  }
}
