import MaTVLMDistillation
import MaTVLMTensor

/// A part of a run with losses, trained parameters, rate and length of its own. What is not here is
/// the run's: data, their order, seed, what is done about trouble.
public struct TrainingStage: Sendable, Hashable, Codable {
  /// Letters, digits, `-` and `_`.
  public var name: String
  public var objective: DistillationObjective
  /// Groups (``trainedGroups``: `new` is what seeding did not copy from attention, rows z and Δ of
  /// `in_proj` with the rest), names of tensors in the student, or names with `*` in them, which
  /// stands for any letters. None: mixers and connector. Of a group or a name with `*`, what the
  /// losses do not reach stays frozen.
  public var trains: [String] = []
  /// Updates.
  public var steps: Int
  public var batchSize: Int
  public var gradientAccumulation: Int
  public var learningRate: Double
  public var warmupSteps: Int
  public var decaySteps: Int
  /// The optimiser starts anew with each stage.
  public var optimizer: AdamW.Configuration
  public var clip: Float?

  /// A stage that goes like a run.
  public init(
    _ name: String, _ objective: DistillationObjective = .init(),
    as configuration: TrainingConfiguration = .init()
  ) {
    (self.name, self.objective) = (name, objective)
    (steps, batchSize) = (configuration.steps, configuration.batchSize)
    gradientAccumulation = configuration.gradientAccumulation
    learningRate = configuration.learningRate
    (warmupSteps, decaySteps) = (configuration.warmupSteps, configuration.decaySteps)
    (optimizer, clip) = (configuration.optimizer, configuration.clip)
  }

  /// Names of a stage's groups of parameters, with what they are.
  public static let trainedGroups = ["new", "mixers", "connector", "language-model", "all"]
}

/// A stage cannot be run.
public struct TrainingStageError: Error, Sendable, Hashable, CustomStringConvertible {
  public let stage: String
  public let problem: String

  public var description: String { "stage \(stage): \(problem)" }
}

extension TrainingConfiguration {
  /// The run as it goes during a stage.
  public func during(_ stage: TrainingStage) -> TrainingConfiguration {
    var run = self
    (run.steps, run.batchSize) = (stage.steps, stage.batchSize)
    run.gradientAccumulation = stage.gradientAccumulation
    run.learningRate = stage.learningRate
    (run.warmupSteps, run.decaySteps) = (stage.warmupSteps, stage.decaySteps)
    (run.optimizer, run.clip) = (stage.optimizer, stage.clip)
    return run
  }
}

/// A stage at its place in a run; a run without stages is one that nobody declared.
struct StageOfRun: Sendable {
  let declared: TrainingStage?
  let task: any TrainingTask
  /// The run as it goes during the stage.
  let configuration: TrainingConfiguration
  /// Updates before the stage.
  let start: Int
  /// Rows that train, by the name of a matrix that does not train as a whole.
  var rows: [String: [Range<Int>]] = [:]

  var end: Int { start + configuration.steps }

  /// For each of these matrices 1 where it trains and 0 elsewhere.
  func masks() -> [String: Tensor] {
    let partial = task.trained.compactMap { parameter in
      rows[parameter.name].map { (parameter.name, Self.mask($0, parameter)) }
    }
    return Dictionary(uniqueKeysWithValues: partial)
  }

  private static func mask(_ rows: [Range<Int>], _ parameter: Parameter) -> Tensor {
    let (shape, device) = (parameter.shape, parameter.value.device)
    let width = shape.width
    var values = [Float](repeating: 0, count: shape.count)
    for range in rows {
      for index in range.lowerBound * width..<range.upperBound * width { values[index] = 1 }
    }
    return Tensor(values, shape, on: device)
  }

  /// The rate of the update with this number in the run, counted from 0.
  func learningRate(at step: Int) -> Double { configuration.schedule.rate(at: step - start) }
}
