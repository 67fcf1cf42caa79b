import ArgumentParser

/// What of a run is kept while it goes on, and whether it goes on where another stopped.
struct CheckpointOptions: ParsableArguments {
  @Flag(
    inversion: .prefixedNo,
    help: """
      Go on with the unfinished run in the output folder, which happens by itself too; with --no-resume \
      and --overwrite, begin anew.
      """)
  var resume: Bool?

  @Option(
    parsing: .unconditional,
    help: "Updates between two checkpoints; every 15 minutes when not given.")
  var checkpointInterval: Int?

  @Option(
    parsing: .unconditional,
    help: "Checkpoints that are kept, beside the one of the best evaluation.")
  var checkpoints = 2

  @Flag(help: "Keep the checkpoints when the run is finished.")
  var keepCheckpoints = false

  func validate() throws {
    if let checkpointInterval, !(1...1_000_000_000).contains(checkpointInterval) {
      throw ValidationError(
        "--checkpoint-interval must be between 1 and 1000000000, not \(checkpointInterval).")
    }
    if !(1...1_000_000).contains(checkpoints) {
      throw ValidationError("--checkpoints must be between 1 and 1000000, not \(checkpoints).")
    }
  }

  /// When checkpoints are due from now on.
  var schedule: CheckpointSchedule { CheckpointSchedule(interval: checkpointInterval) }
}

/// When the next checkpoint is due.
struct CheckpointSchedule {
  /// What is lost at most when a machine goes down.
  private static let pause = Duration.seconds(15 * 60)

  private let interval: Int?
  private let clock = ContinuousClock()
  private var last: ContinuousClock.Instant

  fileprivate init(interval: Int?) {
    self.interval = interval
    last = clock.now
  }

  /// Whether a checkpoint is due after so many updates.
  func isDue(after step: Int) -> Bool {
    interval.map { step % $0 == 0 } ?? (clock.now - last >= Self.pause)
  }

  mutating func saved() { last = clock.now }
}
