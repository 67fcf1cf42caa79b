import Foundation
import MaTVLMTensor

/// The log of a run, written as it happens: `log.jsonl` with one JSON object for each update, the same
/// as a table in `log.csv`, `evaluation.jsonl` with one object for each evaluation, and by option an
/// event file for TensorBoard.
public final class TrainingLog {
  private let folder: URL
  private let hasEvents: Bool
  private var files: [String: OutputFile] = [:]

  private static let updates = "log.jsonl"
  private static let table = "log.csv"
  private static let evaluations = "evaluation.jsonl"
  /// TensorBoard reads every file with `tfevents` in its name.
  private static let events = "events.out.tfevents.matvlm"

  /// The files that a log consists of, the first one always there.
  public static let names = [updates, table, evaluations, events]

  /// Starts a log in an existing folder, or goes on with one.
  ///
  /// - Parameters:
  ///   - lengths: what ``synchronize()`` gave; everything later is cut off.
  ///   - events: whether to write an event file.
  ///   - hasStages: whether the run has stages, and the table a column for them.
  /// - Throws: ``CheckpointError`` when a file cannot be written, or has lost what it is to have.
  public init(
    in folder: URL, continuing lengths: [String: Int] = [:], events: Bool = false,
    hasStages: Bool = false
  ) throws {
    (self.folder, hasEvents) = (folder, events)
    for name in Self.names {
      if let length = lengths[name] {
        files[name] = try OutputFile(continuing: place(name), after: length)
      } else if FileManager.default.fileExists(atPath: place(name)) {
        try FileManager.default.removeItem(atPath: place(name))
      }
    }
    _ = try file(Self.updates)
    if try file(Self.table).length == 0 {
      try write(UpdateLine.header(hasStages: hasStages), to: Self.table)
    }
    if events, try file(Self.events).length == 0 { try write(EventRecord.start, to: Self.events) }
  }

  /// Writes a line; a sample that cannot be used has none.
  /// - Throws: ``CheckpointError/unwritable(path:code:)``.
  public func append(_ event: TrainingEvent) throws {
    switch event {
    case .update(let update):
      let line = UpdateLine(update)
      try write(line.json(), to: Self.updates)
      try write(line.row, to: Self.table)
      try appendEvent(update.step, line.scalars)
    case .evaluation(let step, let losses):
      let line = EvaluationLine(step: step, losses)
      try write(line.json(), to: Self.evaluations)
      try appendEvent(step, line.scalars)
    case .skipped: break
    }
  }

  /// Waits until everything is on the disk.
  /// - Returns: bytes of each file.
  /// - Throws: ``CheckpointError/unwritable(path:code:)``.
  public func synchronize() throws -> [String: Int] {
    for file in files.values { try file.synchronize() }
    return files.mapValues(\.length)
  }

  private func place(_ name: String) -> String { folder.appendingPathComponent(name).path }

  /// The open file of this name, which is made when it is first needed.
  private func file(_ name: String) throws -> OutputFile {
    let file = try files[name] ?? OutputFile(place(name))
    files[name] = file
    return file
  }

  private func write(_ bytes: Data, to name: String) throws {
    try bytes.withUnsafeBytes(file(name).write)
  }

  private func appendEvent(_ step: Int, _ scalars: [(String, Double)]) throws {
    guard hasEvents else { return }
    let record = EventRecord.scalars(scalars, step: step, at: Date().timeIntervalSince1970)
    try write(record, to: Self.events)
  }
}
