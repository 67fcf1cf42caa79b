import Foundation
import MaTVLMTensor

/// The checkpoints of a run: `step-000000100` and so on in a folder of their own. Each is there whole
/// or not at all, whatever stops the program.
public struct CheckpointSeries: Sendable {
  public let folder: URL
  private let kept: Int

  /// - Parameters:
  ///   - folder: made with the first checkpoint.
  ///   - kept: how many of the newest stay, beside the one of the best evaluation.
  /// - Precondition: at least one is kept.
  public init(_ folder: URL, keeping kept: Int) {
    require(kept > 0, "CheckpointSeries: \(kept) kept")
    (self.folder, self.kept) = (folder, kept)
  }

  /// The updates after which there is a checkpoint, in order.
  public var steps: [Int] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    return names.compactMap { name in
      name.wholeMatch(of: /step-(\d{1,18})/).flatMap { Int($0.1) }
    }.sorted()
  }

  /// Writes a checkpoint beside its place, waits until it is on the disk, renames it, and removes
  /// the ones that need not be kept.
  ///
  /// - Parameter logs: bytes of each log file that belong to the updates so far.
  /// - Throws: ``CheckpointError`` when it cannot be written; those before it are then still there.
  public func save(_ trainer: Trainer, logs: [String: Int]) throws {
    let manager = FileManager.default
    if !manager.fileExists(atPath: folder.path) {
      try manager.createDirectory(at: folder, withIntermediateDirectories: false)
      try synchronize(folder.deletingLastPathComponent())
    }
    func write(into folder: URL) throws {
      try TrainingCheckpoint.write(trainer, logs: logs, into: folder)
    }
    try AtomicFolder.write(
      to: place(trainer.position.step), replacing: { _ in true }, write(into:))
    // Later ones are damaged: this run went on from one before them, and comes to them again.
    let position = trainer.position
    for step in steps.filter({ $0 <= position.step }).dropLast(kept)
    where step != position.best?.step {
      try remove(step)
    }
  }

  /// Puts `trainer` where the newest checkpoint is that can be used.
  ///
  /// - Parameter damaged: called with what is wrong with each newer one.
  /// - Returns: bytes of each log file at that place; nil when there is no checkpoint.
  /// - Throws: the last error when no checkpoint can be used; the trainer is then as it was.
  public func restoreNewest(
    into trainer: inout Trainer, damaged: (any Error) -> Void
  ) throws -> [String: Int]? {
    removeRemains()
    var failure: (any Error)?
    for step in steps.reversed() {
      do {
        let restored = try TrainingCheckpoint.read(place(step), for: trainer)
        trainer.restore(restored)
        return restored.state.logs
      } catch {
        damaged(error)
        failure = error
      }
    }
    if let failure { throw failure }
    return nil
  }

  private func place(_ step: Int) -> URL {
    folder.appending(path: "step-" + String(format: "%09d", step))
  }

  /// A name first under which nobody takes it for a whole one.
  private func remove(_ step: Int) throws {
    let doomed = folder.appending(path: ".removed-\(step)")
    try move(place(step), to: doomed)
    try FileManager.default.removeItem(at: doomed)
  }

  /// What a killed program left of folders that it was writing or removing.
  private func removeRemains() {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    for name in names where name.hasPrefix(".") {
      // Anything that stays here is in nobody's way.
      try? FileManager.default.removeItem(at: folder.appending(path: name))
    }
  }
}
