import Foundation
import MaTVLMCore

/// What a student learns from: a user's files, or pictures of shapes that are written first and then
/// read like anybody's.
final class DistillationData {
  let train: any TrainingData
  let heldOut: (any TrainingData)?
  /// How a run goes when the command line does not say.
  let defaults: RunDefaults
  /// Removed when this goes away.
  private let temporary: URL?

  init(data: String?, imageFolder: String?, heldOut: String?) throws {
    guard let data else {
      let folder = FileManager.default.temporaryDirectory
        .appendingPathComponent("matvlm-shapes-\(UUID().uuidString)")
      temporary = folder
      defaults = Self.embedded
      StandardError.print("drawing \(Self.pictures) pictures of shapes")
      try ShapeDataset.write(
        to: folder, seed: 1, trainCount: Self.pictures, heldOutCount: Self.heldOutPictures)
      train = try LLaVADataset(
        file: folder.appendingPathComponent("train.json"), imageFolder: folder)
      self.heldOut = try LLaVADataset(
        file: folder.appendingPathComponent("held-out.json"), imageFolder: folder)
      return
    }
    temporary = nil
    defaults = RunDefaults()
    let file = URL(fileURLWithPath: data)
    let pictures =
      imageFolder.map { URL(fileURLWithPath: $0, isDirectory: true) }
      ?? file.deletingLastPathComponent()
    train = try LLaVADataset(file: file, imageFolder: pictures)
    self.heldOut = try heldOut.map {
      try LLaVADataset(file: URL(fileURLWithPath: $0), imageFolder: pictures)
    }
  }

  deinit {
    if let temporary { try? FileManager.default.removeItem(at: temporary) }
  }

  private static let pictures = 5200
  private static let heldOutPictures = 64

  /// The run that brings the embedded student to its teacher (measured in the README).
  private static var embedded: RunDefaults {
    var run = RunDefaults(warmup: 0.05, decay: 0.5)
    run.configuration.batchSize = 8
    run.configuration.learningRate = 4e-3
    run.configuration.clip = 1
    return run
  }
}
