import Foundation
import MaTVLMCore

/// A run as the command line shows it: progress on standard error, log and checkpoints in the output
/// folder, and at the end the model. A run that fails before its first checkpoint leaves nothing.
struct TrainingSession {
  private var trainer: Trainer
  private let ranks: any Communicator
  private let output: OutputOptions
  private let checkpoints: CheckpointOptions
  private let hasEvents: Bool
  private var settings: EffectiveSettings
  private var steps: Int { trainer.steps }

  /// - Parameters:
  ///   - ranks: the processes that make the run together; rank 0 shows and keeps it.
  ///   - hasEvents: whether TensorBoard is to read along.
  ///   - settings: what repeats the run.
  init(
    _ trainer: Trainer, among ranks: any Communicator, _ output: OutputOptions,
    _ checkpoints: CheckpointOptions, hasEvents: Bool, _ settings: EffectiveSettings
  ) {
    (self.trainer, self.ranks) = (trainer, ranks)
    (self.output, self.checkpoints, self.hasEvents) = (output, checkpoints, hasEvents)
    self.settings = settings
    self.settings.set(checkpoints)
    self.settings["tensorboard"] = "\(hasEvents)"
  }

  /// - Parameter storedAs: how tensors are written; nil: as the teacher's.
  mutating func run(storedAs type: DType? = nil) throws {
    let identity = try trainer.join(ranks)
    var folder: RunFolder?
    let isComplete = try ranks.gather {
      if ranks.rank == 0 { folder = try RunFolder(output, checkpoints, identity: identity) }
      return folder?.start == .complete
    }[0]
    guard let folder else {
      if !isComplete { try train(in: nil) }
      return
    }
    if isComplete {
      StandardError.print("\(output.output): the run had finished; clearing up after it")
    } else {
      do {
        try train(in: folder)
        try folder.place(trainer.student, as: type)
      } catch {
        folder.abandon()
        throw error
      }
    }
    try folder.finish(keepingCheckpoints: checkpoints.keepCheckpoints)
    try StandardOutput.print(output.output)
  }

  /// - Parameter folder: nil on a rank that only computes.
  private mutating func train(in folder: RunFolder?) throws {
    Interruption.watch()
    let log = try folder.map { try begin(in: $0) }
    try trainer.takePlaceOfFirstRank()
    var progress = ProgressPrinter(steps: steps, after: trainer.position.step)
    var schedule = checkpoints.schedule
    while !trainer.isFinished {
      try trainer.advance { event in
        progress.show(event)
        try log?.append(event)
      }
      if trainer.isFinished { break }
      let (isDue, signal) = try pause(schedule)
      if isDue {
        try trainer.checkAgreement()
        if let folder, let log { try folder.series.save(trainer, logs: log.synchronize()) }
        schedule.saved()
      }
      if let signal {
        throw Interruption(
          signal: signal, description: "stopped after update \(trainer.position.step)")
      }
    }
    try trainer.checkAgreement()
    _ = try log?.synchronize()
  }

  private mutating func begin(in folder: RunFolder) throws -> TrainingLog {
    let logs = try goOn(from: folder.series)
    try settings.write(into: folder.url)
    return try TrainingLog(
      in: folder.url, continuing: logs, events: hasEvents, hasStages: trainer.hasStages)
  }

  /// Whether it is time to save, by rank 0's clock, and the signal that came to any rank.
  private func pause(_ schedule: CheckpointSchedule) throws -> (isDue: Bool, signal: Int32?) {
    struct Pause: Codable {
      let isDue: Bool
      let signal: Int32?
    }
    let step = trainer.position.step
    let pauses = try ranks.gather {
      Pause(
        isDue: schedule.isDue(after: step) || trainer.position.best?.step == step,
        signal: Interruption.pending)
    }
    let signal = pauses.lazy.compactMap(\.signal).first
    return (pauses[0].isDue || signal != nil, signal)
  }

  /// Puts the trainer where the unfinished run was.
  /// - Returns: bytes of each log file up to there; none for a run that begins.
  private mutating func goOn(from series: CheckpointSeries) throws -> [String: Int] {
    let logs = try series.restoreNewest(into: &trainer) { error in
      StandardError.print("a checkpoint cannot be used, the one before it is tried: \(error)")
    }
    guard let logs else { return [:] }
    StandardError.print(
      "\(output.output): going on with the unfinished run after update \(trainer.position.step) of "
        + "\(steps)")
    return logs
  }
}
