import ArgumentParser
import Foundation
import MaTVLMCore

/// A file of prompts in place of one, and how it is gone through.
struct BatchOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "JSON lines {\"id\", \"image\", \"prompt\"}, each answered by a JSON line.",
      valueName: "file"), completion: .file(extensions: ["jsonl"]))
  var batch: String?

  @Option(
    help: "Where --batch finds its pictures; its own folder when not given.",
    completion: .directory)
  var imageFolder: String?

  @Option(parsing: .unconditional, help: "Prompts of --batch that go through the model together.")
  var batchSize = 8

  @Option(help: "What to do about lines of --batch that cannot be used: skip, stop.")
  var brokenSamples: BrokenSamplePolicy = .stop

  func validate() throws {
    if !(1...4096).contains(batchSize) {
      throw ValidationError("--batch-size must be between 1 and 4096, not \(batchSize).")
    }
  }

  /// - Parameter request: the request of a prompt and its picture.
  /// - Returns: nil when there is no file.
  func generation(
    _ model: VisionLanguageModel,
    _ request: @escaping (String, RGBImage?) throws -> GenerationRequest
  ) -> BatchGeneration? {
    batch.map { path in
      let file = URL(fileURLWithPath: path)
      let folder =
        imageFolder.map { URL(fileURLWithPath: $0, isDirectory: true) }
        ?? file.deletingLastPathComponent()
      return BatchGeneration(
        model: model, file: file, imageFolder: ImageFolder(folder), batchSize: batchSize,
        brokenSamples: brokenSamples, request: request)
    }
  }
}
