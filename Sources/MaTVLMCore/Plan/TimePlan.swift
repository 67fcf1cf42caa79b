/// How long a run takes at the speed that was measured.
public struct TimePlan: Sendable, Hashable, Encodable {
  public let secondsPerUpdate: Double
  /// Of the whole run, evaluations counted in.
  public let seconds: Double
  /// Floating-point operations per second of a typical update.
  public let operationsPerSecond: Double
  /// How many different operations were timed.
  public let probes: Int
}

/// What a run writes.
public struct DiskPlan: Sendable, Hashable, Encodable {
  /// What trains, and its moments.
  public let checkpointBytes: Int
  /// Checkpoints that can lie there at once: those kept, the best, the one being written.
  public let checkpoints: Int
  public let logBytes: Int
  /// The student.
  public let modelBytes: Int
  public let bytes: Int

  /// Bytes of an update's lines in log.jsonl and log.csv.
  private static let logLineBytes = 400

  init(_ count: RunCount, keeping checkpoints: Int) {
    checkpointBytes = 3 * 4 * count.parameters.trainable
    self.checkpoints = checkpoints + 1 + (count.evaluation == nil ? 0 : 1)
    logBytes = Self.logLineBytes * count.configuration.steps
    modelBytes = count.modelBytes
    bytes = checkpointBytes * self.checkpoints + logBytes + modelBytes
  }
}
