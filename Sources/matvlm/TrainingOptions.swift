import ArgumentParser
import Foundation
import MaTVLMCore

/// How a command's runs go when the command line does not say.
struct RunDefaults {
  var configuration = TrainingConfiguration()
  /// Part of the updates over which the rate rises, and falls; the paper's are a tenth.
  var warmup = 0.1
  var decay = 0.1
}

/// How a run goes; what is not given comes from the defaults of the command.
struct TrainingOptions: ParsableArguments {
  @Option(parsing: .unconditional, help: "Updates of the parameters.")
  var steps: Int?

  @Option(parsing: .unconditional, help: "Times to go through the data, in place of --steps.")
  var epochs: Int?

  @Option(parsing: .unconditional, help: "Sequences that go through the model together.")
  var batchSize: Int?

  @Option(parsing: .unconditional, help: "Batches whose gradients make one update.")
  var gradientAccumulation: Int?

  @Option(parsing: .unconditional, help: "The rate between warm-up and decay.")
  var learningRate: Double?

  @Option(
    parsing: .unconditional,
    help: "Updates over which the rate rises from 0; a part of all when not given.")
  var warmupSteps: Int?

  @Option(
    parsing: .unconditional,
    help: "Updates over which the rate falls to 0; a part of all when not given.")
  var decaySteps: Int?

  @Option(parsing: .unconditional, help: "Taken off matrices at every update, times the rate.")
  var weightDecay: Float?

  @Option(parsing: .unconditional, help: "Gradients are scaled down to this norm; 0: never.")
  var clip: Float?

  @Flag(help: "Take samples in the order of the file.")
  var noShuffle = false

  @Option(
    parsing: .unconditional, help: "Draws the order of samples and what seeding does not copy.")
  var seed: UInt64?

  @Option(
    parsing: .unconditional,
    help:
      "Rows of a sequence at most, image tokens counted in; the model's own limit when not given.")
  var maximumLength: Int?

  @Option(help: "What to do about samples that cannot be used: skip, stop.")
  var brokenSamples: BrokenSamplePolicy = .stop

  @Option(
    parsing: .unconditional,
    help: "Times the median of the last updates from which a loss or norm is an outlier; 0: never.")
  var outlierFactor: Double?

  @Option(help: "What to do about updates that are outliers: report, skip.")
  var outliers: OutlierPolicy = .report

  @Option(parsing: .unconditional, help: "Updates between two evaluations on --held-out.")
  var evaluationInterval: Int?

  @Flag(help: "Write an event file for TensorBoard beside the log.")
  var tensorboard = false

  @Flag(help: "Compute blocks again for the gradient instead of keeping what they computed.")
  var recompute = false

  func validate() throws {
    if steps != nil, epochs != nil { throw ValidationError("Give --steps or --epochs, not both.") }
    if let epochs, !(1...1_000_000).contains(epochs) {
      throw ValidationError("--epochs must be between 1 and 1000000, not \(epochs).")
    }
    if let clip, !(clip >= 0 && clip.isFinite) {
      throw ValidationError("--clip must be 0 or more, not \(clip).")
    }
    // Without --steps it takes the data to know how long the run is.
    if steps != nil { _ = try configuration(RunDefaults(), samples: 1) }
  }

  /// These options of a stage, and where they say nothing those of the run.
  func over(_ run: TrainingOptions) -> TrainingOptions {
    var options = run
    if steps != nil || epochs != nil { (options.steps, options.epochs) = (steps, epochs) }
    options.batchSize = batchSize ?? run.batchSize
    options.gradientAccumulation = gradientAccumulation ?? run.gradientAccumulation
    options.learningRate = learningRate ?? run.learningRate
    options.warmupSteps = warmupSteps ?? run.warmupSteps
    options.decaySteps = decaySteps ?? run.decaySteps
    options.weightDecay = weightDecay ?? run.weightDecay
    options.clip = clip ?? run.clip
    return options
  }

  /// The run over `samples` samples.
  /// - Throws: `ValidationError` naming what is out of range.
  func configuration(_ command: RunDefaults, samples: Int) throws -> TrainingConfiguration {
    let defaults = command.configuration
    var run = defaults
    run.batchSize = batchSize ?? defaults.batchSize
    run.gradientAccumulation = gradientAccumulation ?? defaults.gradientAccumulation
    run.learningRate = learningRate ?? defaults.learningRate
    run.optimizer.weightDecay = weightDecay ?? defaults.optimizer.weightDecay
    if let clip { run.clip = clip == 0 ? nil : clip }
    run.shuffles = !noShuffle
    run.seed = seed ?? defaults.seed
    run.maximumLength = maximumLength
    run.brokenSamples = brokenSamples
    if let outlierFactor { run.outlierFactor = outlierFactor == 0 ? nil : outlierFactor }
    run.outliers = outliers
    run.evaluationInterval = evaluationInterval
    run.recompute = recompute
    try check(run)
    let perUpdate = run.sequencesPerUpdate
    run.steps = steps ?? ((epochs ?? 1) * samples + perUpdate - 1) / perUpdate
    run.warmupSteps = warmupSteps ?? Int(command.warmup * Double(run.steps))
    run.decaySteps = decaySteps ?? Int(command.decay * Double(run.steps))
    try check(run)
    return run
  }

  private func check(_ run: TrainingConfiguration) throws {
    if let problem = run.problem { throw ValidationError("\(problem).") }
  }
}
