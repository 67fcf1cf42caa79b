import Foundation
import MaTVLMCore

/// Answers to a file of prompts, several at a time; one JSON line for each, in the order of the file.
struct BatchGeneration {
  let model: VisionLanguageModel
  let file: URL
  let imageFolder: ImageFolder
  /// Prompts that go through the model together.
  let batchSize: Int
  let brokenSamples: BrokenSamplePolicy
  /// The request of a prompt and its picture.
  let request: (String, RGBImage?) throws -> GenerationRequest

  func run() throws {
    let prompts = try PromptFile(contentsOf: file)
    if brokenSamples == .stop { for entry in prompts.entries { _ = try entry.get() } }
    var batch: [(id: JSONValue, request: GenerationRequest)] = []
    var answered = 0
    for entry in prompts.entries {
      if let usable = try usable(entry) { batch.append(usable) }
      guard batch.count == batchSize else { continue }
      try answer(batch)
      answered += batch.count
      batch = []
    }
    try answer(batch)
    guard answered + batch.count > 0 else {
      throw PromptFileError.noUsableLine(file: file.path)
    }
  }

  /// - Returns: nil for a line that cannot be used, after it was reported.
  /// - Throws: why it cannot be used, where that ends the run.
  private func usable(
    _ entry: Result<PromptFile.Entry, PromptFileError>
  ) throws -> (id: JSONValue, request: GenerationRequest)? {
    do {
      let entry = try entry.get()
      do {
        let request = try request(entry.prompt, entry.image.map(imageFolder.image))
        try model.check(request)
        return (entry.id, request)
      } catch {
        throw PromptFileError.line(file: file.path, number: entry.line, reason: "\(error)")
      }
    } catch  where brokenSamples == .skip {
      StandardError.print("skipped: \(error)")
      return nil
    }
  }

  private func answer(_ batch: [(id: JSONValue, request: GenerationRequest)]) throws {
    let answers = try model.generate(batch.map(\.request)) { _, _ in true }
    for ((id, _), answer) in zip(batch, answers) {
      try StandardOutput.print(GenerationReport(answer, id: id).jsonText())
    }
  }
}
