import Foundation
import MaTVLMCore

/// A run as the command line shows it: progress on standard error, the log in the output folder, and
/// at the end the model in its place.
struct TrainingSession {
  private var trainer: Trainer
  private let output: OutputOptions
  private var progress: ProgressPrinter

  init(_ trainer: Trainer, _ output: OutputOptions, steps: Int) {
    self.trainer = trainer
    self.output = output
    progress = ProgressPrinter(steps: steps)
  }

  /// - Parameter storedAs: how tensors are written; nil: as the teacher's.
  mutating func run(storedAs type: DType? = nil) throws {
    try prepareFolder()
    let log = try TrainingLog(in: output.folder)
    var progress = progress
    try trainer.run { event in
      progress.show(event)
      try log.append(event)
    }
    let logs = TrainingLog.names.map(output.folder.appendingPathComponent)
      .filter { FileManager.default.fileExists(atPath: $0.path) }
    // The folder with the log so far is ours; the model's folder takes its place whole.
    try trainer.student.save(to: output.folder, as: type, replacing: { _ in true }) { folder in
      for file in logs {
        try FileManager.default.copyItem(
          at: file, to: folder.appendingPathComponent(file.lastPathComponent))
      }
    }
    print(output.output)
  }

  private func prepareFolder() throws {
    let manager = FileManager.default
    if manager.fileExists(atPath: output.folder.path) { try manager.removeItem(at: output.folder) }
    try manager.createDirectory(at: output.folder, withIntermediateDirectories: false)
  }
}
