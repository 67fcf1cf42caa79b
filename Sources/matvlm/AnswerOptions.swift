import ArgumentParser
import Foundation
import MaTVLMCore

/// What an answer may be.
struct AnswerOptions: ParsableArguments {
  @Option(parsing: .unconditional, help: "New tokens at most.")
  var maxTokens = 512

  @Option(
    parsing: .unconditionalSingleValue,
    help: "End the answer before this text; can be given several times.")
  var stop: [String] = []

  @Option(
    help: "How keys and values are kept: float32, bfloat16; as activations when not given.")
  var cacheType: Precision?

  @OptionGroup var sampling: SamplingOptions
  @OptionGroup var weights: WeightOptions

  func validate() throws {
    if !(1...1_000_000).contains(maxTokens) {
      throw ValidationError("--max-tokens must be between 1 and 1000000, not \(maxTokens).")
    }
  }

  /// Loads a model whose answers are to be in these terms.
  /// - Throws: `ValidationError` when the device cannot keep keys and values so.
  func load(_ path: String, on device: Device) throws -> VisionLanguageModel {
    if let type = cacheType?.type, !device.cacheTypes.contains(type) {
      let known = device.cacheTypes.map(\.description).joined(separator: ", ")
      throw ValidationError("--cache-type of \(device) must be one of \(known), not \(type).")
    }
    var model = try VisionLanguageModel.load(
      URL(fileURLWithPath: path, isDirectory: true), quantization: weights.quantization,
      on: device)
    model.cacheType = cacheType?.type
    return model
  }

  /// A request of `ids` in these terms.
  func request(_ ids: [Int], pictures: [RGBImage]) throws -> GenerationRequest {
    var request = GenerationRequest(promptIDs: ids, pictures: pictures)
    request.maximumTokens = maxTokens
    request.sampling = try sampling.sampling()
    request.stopTexts = stop
    return request
  }

  /// Sets a conversation to these terms.
  func apply(to session: inout ChatSession) throws {
    session.maximumTokens = maxTokens
    session.sampling = try sampling.sampling()
    session.stopTexts = stop
  }
}
