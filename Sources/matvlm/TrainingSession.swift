import Foundation
import MaTVLMCore

/// A run as the command line shows it: progress on standard error, the log in the output folder, and
/// at the end the model in its place. A run that fails leaves nothing.
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
    let folder = try RunFolder(at: output.folder)
    do {
      try train(in: folder.url)
      try save(to: folder.url, as: type)
    } catch {
      folder.restore()
      throw error
    }
    try folder.removeEarlier()
    try StandardOutput.print(output.output)
  }

  private mutating func train(in folder: URL) throws {
    let log = try TrainingLog(in: folder)
    var progress = progress
    try trainer.run { event in
      progress.show(event)
      try log.append(event)
    }
  }

  /// Puts the model's folder in the place of the run's, and the log into it.
  private func save(to folder: URL, as type: DType?) throws {
    let logs = TrainingLog.names.map(folder.appendingPathComponent)
      .filter { FileManager.default.fileExists(atPath: $0.path) }
    func copyLogs(into model: URL) throws {
      for file in logs {
        try FileManager.default.copyItem(
          at: file, to: model.appendingPathComponent(file.lastPathComponent))
      }
    }
    try trainer.student.save(
      to: folder, as: type, replacing: { _ in true }, extra: copyLogs(into:))
  }
}
