import ArgumentParser
import MaTVLMCore

/// What an answer may be.
struct AnswerOptions: ParsableArguments {
  @Option(parsing: .unconditional, help: "New tokens at most.")
  var maxTokens = 512

  @Option(
    parsing: .unconditionalSingleValue,
    help: "End the answer before this text; can be given several times.")
  var stop: [String] = []

  @OptionGroup var sampling: SamplingOptions

  func validate() throws {
    if !(1...1_000_000).contains(maxTokens) {
      throw ValidationError("--max-tokens must be between 1 and 1000000, not \(maxTokens).")
    }
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
