import Foundation
import MaTVLMCore
import Yams

/// Every option of a run as it took effect, those that nobody gave too: `run.yaml` beside the result.
/// Where a result goes is not part of what is repeated.
struct EffectiveSettings {
  static let fileName = "run.yaml"

  private let schema: RunFileSchema
  private var values: [String: String] = [:]
  private var stages: StageList?

  init(_ schema: RunFileSchema) { self.schema = schema }

  /// Nothing is written for nil.
  subscript(_ option: String) -> String? {
    get { values[option] }
    set { values[option] = newValue }
  }

  /// A file or folder, by a path that holds wherever the program is started.
  mutating func setPath(_ option: String, _ path: String?) {
    self[option] = path.map { URL(fileURLWithPath: $0).standardizedFileURL.path }
  }

  mutating func set(_ run: TrainingConfiguration) {
    self["steps"] = "\(run.steps)"
    self["batch-size"] = "\(run.batchSize)"
    self["gradient-accumulation"] = "\(run.gradientAccumulation)"
    self["learning-rate"] = "\(run.learningRate)"
    self["warmup-steps"] = "\(run.warmupSteps)"
    self["decay-steps"] = "\(run.decaySteps)"
    self["weight-decay"] = "\(run.optimizer.weightDecay)"
    self["clip"] = "\(run.clip ?? 0)"
    self["no-shuffle"] = "\(!run.shuffles)"
    self["seed"] = "\(run.seed)"
    self["maximum-length"] = run.maximumLength.map { "\($0)" }
    self["broken-samples"] = run.brokenSamples.rawValue
    self["outlier-factor"] = "\(run.outlierFactor ?? 0)"
    self["outliers"] = run.outliers.rawValue
    self["evaluation-interval"] = run.evaluationInterval.map { "\($0)" }
    self["recompute"] = "\(run.recompute)"
  }

  mutating func set(_ calibration: Calibration) {
    self["calibration-samples"] = "\(calibration.samples)"
    self["calibration-passes"] = "\(calibration.mixers.passes)"
  }

  mutating func set(_ objective: DistillationObjective) {
    self["layer-weight"] = "\(objective.layerWeight)"
    self["layer-loss"] = objective.layerComparison.rawValue
    self["kl-weight"] = "\(objective.logitWeight)"
    self["ce-weight"] = "\(objective.labelWeight)"
    self["divergence"] = objective.divergence.rawValue
    self["temperature"] = "\(objective.temperature)"
    self["reduction"] = objective.reduction.rawValue
  }

  /// Every stage with all its options.
  mutating func set(_ stages: [TrainingStage], of run: TrainingConfiguration) {
    guard !stages.isEmpty else { return }
    self.stages = StageList(
      stages.map { stage in
        var settings = EffectiveSettings(schema)
        settings.set(run.during(stage))
        settings.set(stage.objective)
        settings["trains"] = stage.trains.isEmpty ? nil : stage.trains.joined(separator: ",")
        return StageList.Stage(
          name: stage.name, values: settings.values.filter { RunFileSchema.stage.contains($0.key) })
      })
  }

  mutating func set(_ checkpoints: CheckpointOptions) {
    self["checkpoint-interval"] = checkpoints.checkpointInterval.map { "\($0)" }
    self["checkpoints"] = "\(checkpoints.checkpoints)"
    self["keep-checkpoints"] = "\(checkpoints.keepCheckpoints)"
  }

  mutating func set(_ machine: MachineOptions) {
    self["threads"] = machine.threads.map { "\($0)" }
    self["device"] = "\(machine.device)"
    self["precision"] = machine.precision.rawValue
    setPath("cuda-path", machine.cudaPath)
  }

  /// - Throws: ``CheckpointError/unwritable(path:code:)``.
  func write(into folder: URL) throws {
    let sections: [(Yams.Node, Yams.Node)] = schema.sections.compactMap { section in
      if section.name == RunFileSchema.stages {
        return stages.map { (Yams.Node(section.name), $0.node) }
      }
      let options = section.options.compactMap { option in
        values[option].map { (Yams.Node(option), Yams.Node($0)) }
      }
      return options.isEmpty ? nil : (Yams.Node(section.name), Yams.Node(options))
    }
    let yaml = try Yams.serialize(node: Yams.Node(sections))
    let text = "# matvlm \(schema.verb) --config \(Self.fileName) repeats this run.\n" + yaml
    try AtomicFile.write(Data(text.utf8), to: folder.appendingPathComponent(Self.fileName))
  }
}
