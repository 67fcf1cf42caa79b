import Foundation
import MaTVLMCore

/// A run as the command line shows it: progress on standard error, log and checkpoints in the output
/// folder, and at the end the model. A run that fails before its first checkpoint leaves nothing.
struct TrainingSession {
  private var trainer: Trainer
  private let output: OutputOptions
  private let checkpoints: CheckpointOptions
  private let hasEvents: Bool
  private var settings: EffectiveSettings
  private var steps: Int { trainer.steps }

  /// - Parameters:
  ///   - hasEvents: whether TensorBoard is to read along.
  ///   - settings: what repeats the run.
  init(
    _ trainer: Trainer, _ output: OutputOptions, _ checkpoints: CheckpointOptions,
    hasEvents: Bool, _ settings: EffectiveSettings
  ) {
    self.trainer = trainer
    (self.output, self.checkpoints, self.hasEvents) = (output, checkpoints, hasEvents)
    self.settings = settings
    self.settings.set(checkpoints)
    self.settings["tensorboard"] = "\(hasEvents)"
  }

  /// - Parameter storedAs: how tensors are written; nil: as the teacher's.
  mutating func run(storedAs type: DType? = nil) throws {
    let folder = try RunFolder(output, checkpoints, identity: trainer.identity())
    if folder.start == .complete {
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

  private mutating func train(in folder: RunFolder) throws {
    Interruption.watch()
    let logs = try goOn(from: folder.series)
    try settings.write(into: folder.url)
    let log = try TrainingLog(
      in: folder.url, continuing: logs, events: hasEvents, hasStages: trainer.hasStages)
    var progress = ProgressPrinter(steps: steps, after: trainer.position.step)
    var schedule = checkpoints.schedule
    while !trainer.isFinished {
      try trainer.advance { event in
        progress.show(event)
        try log.append(event)
      }
      let (step, signal) = (trainer.position.step, Interruption.pending)
      if trainer.isFinished { break }
      if signal != nil || schedule.isDue(after: step) || trainer.position.best?.step == step {
        try folder.series.save(trainer, logs: log.synchronize())
        schedule.saved()
      }
      if let signal {
        throw Interruption(signal: signal, description: "stopped after update \(step)")
      }
    }
    _ = try log.synchronize()
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
