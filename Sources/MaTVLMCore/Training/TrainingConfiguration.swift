import MaTVLMDistillation
import MaTVLMTensor

/// How a run goes through its data and steps.
public struct TrainingConfiguration: Sendable, Hashable, Codable {
  /// Updates of the parameters.
  public var steps = 1
  /// Sequences that go through the model together.
  public var batchSize = 1
  /// Batches whose gradients are averaged into one update.
  public var gradientAccumulation = 1
  /// The rate at which the schedule holds.
  public var learningRate = 2e-4
  public var warmupSteps = 0
  public var decaySteps = 0
  public var optimizer = AdamW.Configuration()
  /// Gradients are scaled down to this Euclidean norm; nil: never.
  public var clip: Float? = 0.1
  public var shuffles = true
  public var seed: UInt64 = 42
  /// Rows of a sequence at most, image tokens counted in; nil: as many as the model takes.
  public var maximumLength: Int?
  public var brokenSamples = BrokenSamplePolicy.stop
  /// An update whose loss or gradient norm is more than so many times the median of the last ones is
  /// an outlier; nil: none is.
  public var outlierFactor: Double? = 10
  public var outliers = OutlierPolicy.report
  /// Updates between two evaluations on held-out samples; nil: none.
  public var evaluationInterval: Int?
  /// The probability with which each number that the student's blocks add to the stream is dropped
  /// while it learns; 0.1 in the authors' code.
  public var studentDropout: Float = 0
  /// Keeps only each block's input for the gradient, and computes the block again.
  public var recompute = false

  public init() {}

  /// Sequences of one update.
  public var sequencesPerUpdate: Int { batchSize * gradientAccumulation }

  /// What is out of range, in words; nil when everything is usable.
  public var problem: String? {
    for (name, value) in [
      ("steps", steps), ("gradient accumulation", gradientAccumulation),
      ("evaluation interval", evaluationInterval ?? 1), ("maximum length", maximumLength ?? 1),
    ] where !(1...1_000_000_000).contains(value) {
      return "the \(name) must be between 1 and 1000000000, not \(value)"
    }
    if !(1...4096).contains(batchSize) {
      return "the batch size must be between 1 and 4096, not \(batchSize)"
    }
    if warmupSteps < 0 || decaySteps < 0 || warmupSteps + decaySteps > steps {
      return "warm-up (\(warmupSteps)) and decay (\(decaySteps)) must fit into \(steps) steps"
    }
    if !(learningRate > 0 && learningRate <= 10) {
      return "the learning rate must be above 0 and at most 10, not \(learningRate)"
    }
    if !(optimizer.weightDecay >= 0 && optimizer.weightDecay <= 1) {
      return "the weight decay must be between 0 and 1, not \(optimizer.weightDecay)"
    }
    if let clip, !(clip > 0 && clip.isFinite) {
      return "the clipping norm must be above 0, not \(clip)"
    }
    if !(studentDropout >= 0 && studentDropout < 1) {
      return "the student's dropout must be 0 or more and below 1, not \(studentDropout)"
    }
    if let outlierFactor, !(outlierFactor > 1 && outlierFactor.isFinite) {
      return "the outlier factor must be above 1, not \(outlierFactor)"
    }
    return nil
  }

  var schedule: LearningRateSchedule {
    LearningRateSchedule(
      peak: learningRate, warmup: warmupSteps, decay: decaySteps, total: steps)
  }
}

extension DistillationObjective {
  /// What is out of range, in words; nil when everything is usable.
  public var problem: String? {
    for (name, weight) in [
      ("layer", layerWeight), ("divergence", logitWeight), ("label", labelWeight),
    ] where !(weight >= 0 && weight.isFinite) {
      return "the \(name) weight must be 0 or more, not \(weight)"
    }
    if layerWeight == 0 && logitWeight == 0 && labelWeight == 0 {
      return "all loss weights are 0; nothing would be learned"
    }
    if !(temperature > 0 && temperature <= 1000) {
      return "the temperature must be above 0 and at most 1000, not \(temperature)"
    }
    return nil
  }
}
