import Foundation
import MaTVLMDistillation
import MaTVLMTensor

/// A run: takes samples in order, adds up gradients, steps, and reports.
public struct Trainer: Sendable {
  private let task: any TrainingTask
  private let configuration: TrainingConfiguration
  private let data: any TrainingData
  private let heldOut: (any TrainingData)?
  private let order: SampleOrder
  private var optimizer: AdamW

  /// Distils `teacher` into `student`, whose mixers and connector begin to train.
  ///
  /// - Precondition: the configuration has no problem, and there is data.
  public init(
    distilling teacher: VisionLanguageModel, into student: VisionLanguageModel,
    _ objective: DistillationObjective, _ configuration: TrainingConfiguration,
    data: any TrainingData, heldOut: (any TrainingData)? = nil
  ) {
    self.init(
      DistillationTask(
        teacher: teacher, student: student, objective, recompute: configuration.recompute),
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

  private init(
    _ task: any TrainingTask, _ configuration: TrainingConfiguration, data: any TrainingData,
    heldOut: (any TrainingData)?
  ) {
    require(configuration.problem == nil, "Trainer: \(configuration.problem ?? "")")
    require(data.count > 0, "Trainer: no data")
    (self.task, self.configuration, self.data) = (task, configuration, data)
    self.heldOut = heldOut
    order = SampleOrder(
      count: data.count, shuffles: configuration.shuffles, seed: configuration.seed)
    optimizer = AdamW(configuration.optimizer)
  }

  /// The model that learns.
  public var student: VisionLanguageModel { task.student }

  /// The parameters that change.
  public var trainedParameters: [Parameter] { task.trained }

  /// Runs to the end.
  ///
  /// - Throws: ``SampleError`` when a broken sample is to stop the run, ``DatasetError`` when no
  ///   sample can be used, ``TrainingError`` when numbers are no longer finite, and what a device throws.
  public mutating func run(_ report: (TrainingEvent) throws -> Void) throws {
    let batches = BatchLoader(
      data, for: task.student, size: configuration.batchSize,
      count: configuration.steps * configuration.gradientAccumulation, order: order,
      configuration.brokenSamples)
    for step in 0..<configuration.steps {
      try report(.update(update(step, batches, report)))
      if let interval = configuration.evaluationInterval, let heldOut,
        (step + 1) % interval == 0 || step + 1 == configuration.steps
      {
        try report(.evaluation(step: step + 1, evaluate(heldOut)))
      }
    }
  }

  private mutating func update(
    _ step: Int, _ batches: BatchLoader, _ report: (TrainingEvent) throws -> Void
  ) throws -> TrainingUpdate {
    let clock = ContinuousClock()
    let start = clock.now
    let sequences = configuration.sequencesPerUpdate
    var total = Gradients()
    var sums = LossSums()
    var rows = 0
    for _ in 0..<configuration.gradientAccumulation {
      let prepared = batches.next()
      for error in prepared.skipped { try report(.skipped(error)) }
      let batch = try prepared.batch.get()
      let (gradients, losses) = task.lossGradients(batch, sequences: sequences)
      total += gradients
      sums += losses
      rows += batch.spliced.segments.rows
      try task.student.device.check()
      guard losses.isFinite else {
        throw TrainingError.notFinite(step: step + 1, samples: batch.ids)
      }
    }
    let norm = total.norm()
    try task.student.device.check()
    guard norm.isFinite else { throw TrainingError.notFinite(step: step + 1, samples: []) }
    let rate = configuration.schedule.rate(at: step)
    optimizer.update(
      task.trained, with: total, learningRate: Float(rate), gradientScale: clippingFactor(norm))
    return TrainingUpdate(
      step: step + 1, learningRate: rate, losses: sums.mean(over: sequences),
      objective: task.objective, gradientNorm: Double(norm), rows: rows,
      seconds: (clock.now - start) / .seconds(1))
  }

  /// As `torch.nn.utils.clip_grad_norm_`.
  private func clippingFactor(_ norm: Float) -> Float {
    guard let clip = configuration.clip else { return 1 }
    return min(1, clip / (norm + 1e-6))
  }

  /// Held-out samples are few and whole: a broken one is left out here too.
  private func evaluate(_ heldOut: any TrainingData) throws -> LossMeans {
    var sums = LossSums()
    var sequences = 0
    for start in stride(from: 0, to: heldOut.count, by: configuration.batchSize) {
      let end = min(heldOut.count, start + configuration.batchSize)
      let examples = (start..<end).compactMap { index in
        try? TrainingExample(heldOut.sample(index), for: task.student)
      }
      guard !examples.isEmpty else { continue }
      sums += task.losses(Batch(examples, for: task.student))
      sequences += examples.count
    }
    guard sequences > 0 else { throw DatasetError.noUsableSample(samples: heldOut.count) }
    return sums.mean(over: sequences)
  }
}
