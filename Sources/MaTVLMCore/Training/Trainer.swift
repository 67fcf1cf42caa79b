import Foundation
import MaTVLMDistillation
import MaTVLMTensor

/// A run: takes samples in order, adds up gradients, steps, and reports.
public struct Trainer: Sendable {
  /// In the order in which they are run; a run without stages is one.
  let stages: [StageOfRun]
  /// The one that the next update belongs to.
  private(set) var stage: StageOfRun
  /// As the run was given; ``StageOfRun`` says how it goes during a stage.
  let configuration: TrainingConfiguration
  let data: any TrainingData
  let heldOut: (any TrainingData)?
  private(set) var optimizer: AdamW
  /// How far the run is.
  public private(set) var position = TrainingPosition()
  /// Reads ahead; begins with the first update.
  private var batches: BatchLoader?
  private var unreached: UnreachedParameters
  /// 1 where a matrix that trains in part trains, 0 elsewhere.
  private var masks: [String: Tensor] = [:]
  /// The parameters that change at some time of the run.
  public let trainedParameters: [Parameter]
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
        hasPictures: data.hasPictures, visionCache: visionCache),
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
    let stage = StageOfRun(declared: nil, task: task, configuration: configuration, start: 0)
    self.init([stage], configuration, data: data, heldOut: heldOut)
  }

  /// - Precondition: there is a stage, and each begins where the one before it ends.
  init(
    _ stages: [StageOfRun], _ configuration: TrainingConfiguration, data: any TrainingData,
    heldOut: (any TrainingData)?
  ) {
    let problem = stages.lazy.compactMap(\.configuration.problem).first
    require(problem == nil, "Trainer: \(problem ?? "")")
    require(data.count > 0, "Trainer: no data")
    (self.stages, stage, self.configuration) = (stages, stages[0], configuration)
    (self.data, self.heldOut) = (data, heldOut)
    trainedParameters = Self.trained(in: stages)
    optimizer = AdamW(stage.configuration.optimizer)
    unreached = UnreachedParameters(stage.task.trained)
    enter(stage)
  }

  /// What is learned in the present stage.
  var task: any TrainingTask { stage.task }

  /// The model that learns.
  public var student: VisionLanguageModel { task.student }

  /// Updates of the whole run.
  public var steps: Int { stages.last!.end }

  public var isFinished: Bool { position.step >= steps }

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
    require(!isFinished, "advance: all \(steps) updates are made")
    let loader = batches ?? makeLoader()
    batches = nil  // What was read ahead is lost if this fails.
    try report(.update(update(loader, report)))
    batches = loader
    if let interval = configuration.evaluationInterval, let heldOut,
      position.step % interval == 0 || position.step == stage.end
    {
      let losses = try evaluate(heldOut)
      note(losses)
      try report(.evaluation(step: position.step, losses))
    }
    if position.step == stage.end, !isFinished { beginNextStage() }
  }

  /// Goes on from a checkpoint that was read for this trainer.
  mutating func restore(_ restored: TrainingCheckpoint.Restored) {
    position = restored.state.position
    enter(stage(of: position.step))
    for (parameter, value) in restored.values { parameter.assign(value) }
    optimizer = AdamW(stage.configuration.optimizer, moments: restored.moments)
  }

  /// Makes what the stage trains trainable and everything else frozen; the optimiser starts anew.
  mutating func enter(_ stage: StageOfRun) {
    self.stage = stage
    for parameter in trainedParameters { parameter.isTrainable = false }
    for parameter in stage.task.trained { parameter.isTrainable = true }
    optimizer = AdamW(stage.configuration.optimizer)
    unreached = UnreachedParameters(stage.task.trained)
    masks = stage.masks()
    batches = nil
  }

  /// Losses of two stages are not of one kind: what was ordinary and what was best is forgotten.
  private mutating func beginNextStage() {
    enter(stage(of: position.step))
    position.watch = OutlierWatch()
    position.best = nil
  }

  private func makeLoader() -> BatchLoader {
    BatchLoader(
      data, for: task.student, rounds, updates: stage.end - position.step,
      maximumLength: configuration.maximumLength,
      order: SampleOrder(
        count: data.count, shuffles: configuration.shuffles, seed: configuration.seed,
        visits: position.samples.visits),
      broken: position.samples.broken, configuration.brokenSamples, among: ranks)
  }

  private var rounds: UpdateRounds {
    UpdateRounds(
      sequences: stage.configuration.sequencesPerUpdate, batchSize: stage.configuration.batchSize,
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
    var sum = try added(accumulate(batches, report))
    for parameter in task.trained {
      if let mask = masks[parameter.name] { sum.gradients.multiply(parameter, by: mask) }
    }
    let norm = sum.gradients.norm()
    try task.student.device.check()
    guard norm.isFinite, sum.losses.isFinite else {
      throw try notFinite(sum.indices, sum.gradients)
    }
    try unreached.check(
      sum.gradients, step: position.step + 1,
      exempt: sum.hasPictures ? [] : task.reachedByPictures)
    let losses = sum.losses.mean(
      over: stage.configuration.sequencesPerUpdate, isWhole: !task.objective.isLayerLocal)
    let outlier = judge(losses, norm)
    let rate = stage.learningRate(at: position.step)
    if outlier?.isSkipped != true {
      optimizer.update(
        task.trained, with: sum.gradients, learningRate: Float(rate),
        gradientScale: clippingFactor(norm), masks: masks)
    }
    position.step += 1
    position.samples = sum.end
    return TrainingUpdate(
      step: position.step, learningRate: rate, losses: losses, objective: task.objective,
      gradientNorm: Double(norm), rows: sum.rows, seconds: (clock.now - start) / .seconds(1),
      outlier: outlier, stage: stage.declared?.name)
  }

  /// What the batches of an update add up to, on one rank or on all.
  struct Accumulation {
    var gradients = Gradients()
    /// What already adds up over all ranks, in place of gradients above.
    var exchange: GradientExchange?
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
    for round in 1...rounds.count {
      let prepared = batches.next()
      for error in prepared.skipped { try report(.skipped(error)) }
      sum.end = prepared.end
      let own = try prepared.batch.get()
      if round == rounds.count { sum.exchange = try makeExchange(own, adding: &sum.gradients) }
      guard var batch = own else { continue }
      batch.dropout = BlockDropout(
        rate: configuration.studentDropout, seed: configuration.seed, step: position.step,
        samples: prepared.indices)
      let (gradients, losses) = task.lossGradients(
        batch, sequences: stage.configuration.sequencesPerUpdate, handingTo: sum.exchange)
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
    guard let clip = stage.configuration.clip else { return 1 }
    return min(1, clip / (norm + 1e-6))
  }

  /// Held-out samples are few and whole: a broken one is left out here too.
  func evaluate(_ heldOut: any TrainingData) throws -> LossMeans {
    var sums = LossSums()
    var sequences = 0
    let size = stage.configuration.batchSize
    let starts = stride(from: 0, to: heldOut.count, by: size)
    for (batchNumber, start) in starts.enumerated() where batchNumber % ranks.size == ranks.rank {
      let end = min(heldOut.count, start + size)
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
