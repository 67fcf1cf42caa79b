import Foundation
import MaTVLMTensor

/// What a run of distillation takes, before it begins; memory, operations and time of each process where
/// there are several.
public struct RunPlan: Sendable, Encodable {
  /// How many processes make the run together.
  public let ranks: Int
  public let parameters: ParameterPlan
  public let memory: MemoryPlan
  public let disk: DiskPlan
  public let operationsPerUpdate: Double
  /// Of the whole run, evaluations counted in.
  public let operations: Double
  public let steps: Int
  /// How many updates were counted.
  public let updatesCounted: Int
  /// nil: nobody measured.
  public let time: TimePlan?

  /// - Parameters:
  ///   - checkpoints: how many the run keeps.
  ///   - device: where the time of operations is measured; nil: nowhere.
  /// - Throws: what a device throws.
  public init(
    _ count: RunCount, _ memory: MemoryPlan, keepingCheckpoints checkpoints: Int,
    measuredOn device: Device?
  ) throws {
    ranks = count.ranks
    parameters = count.parameters
    self.memory = memory
    disk = DiskPlan(count, keeping: checkpoints)
    operationsPerUpdate = count.operationsPerUpdate
    operations = count.operations
    steps = count.configuration.steps
    updatesCounted = count.updates.count
    time = try device.map { try count.time(on: $0) }
  }
}

extension RunPlan {
  /// The configuration to run with: as given where it fits, with recomputation where only that does.
  ///
  /// - Parameters:
  ///   - memory: of a count.
  ///   - count: counts the run with a configuration.
  /// - Throws: ``PlanError`` with what would fit, where neither does; what `count` throws.
  public static func fitting(
    _ configuration: TrainingConfiguration, memory: (RunCount) -> MemoryPlan,
    count: (TrainingConfiguration) throws -> RunCount
  ) throws -> (count: RunCount, memory: MemoryPlan) {
    let first = try count(configuration)
    let plan = memory(first)
    if plan.fits { return (first, plan) }
    for change in Change.all(of: configuration, rows: first.mostRows) {
      let changed = try count(change.configuration)
      let memory = memory(changed)
      guard memory.fits else { continue }
      if change.isSame { return (changed, memory) }
      throw PlanError(plan, suggestion: "\(change.words) (\(gibibytes(memory.peak)))")
    }
    throw PlanError(plan, suggestion: nil)
  }

  /// A configuration that takes less memory.
  private struct Change {
    let configuration: TrainingConfiguration
    let words: String
    /// Whether results are the same.
    let isSame: Bool

    /// From the one that costs least: time, then other batches, then shorter sequences.
    static func all(of configuration: TrainingConfiguration, rows: Int) -> [Change] {
      var changed = configuration
      changed.recompute = true
      var changes =
        configuration.recompute
        ? [] : [Change(configuration: changed, words: "--recompute", isSame: true)]
      while changed.batchSize > 1 {
        let sequences = changed.sequencesPerUpdate
        changed.batchSize = (changed.batchSize + 1) / 2
        changed.gradientAccumulation =
          (sequences + changed.batchSize - 1) / changed.batchSize
        changes.append(
          Change(
            configuration: changed,
            words: "--recompute --batch-size \(changed.batchSize) "
              + "--gradient-accumulation \(changed.gradientAccumulation)", isSame: false))
      }
      var length = min(changed.maximumLength ?? rows, max(1, rows))
      while length > 64 {
        length /= 2
        changed.maximumLength = length
        changes.append(
          Change(
            configuration: changed,
            words: "--recompute --batch-size 1 --gradient-accumulation "
              + "\(changed.gradientAccumulation) --maximum-length \(length)", isSame: false))
      }
      return changes
    }
  }
}
