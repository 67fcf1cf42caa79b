import ArgumentParser
import Foundation
import MaTVLMCore

/// `matvlm generate`
struct Generate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Answers a question, about a picture or not.")

  @Option(help: "The model's folder.", completion: .directory)
  var model: String

  @Option(help: "A JPEG or PNG picture.", completion: .file(extensions: ["jpg", "jpeg", "png"]))
  var image: String?

  @Option(parsing: .unconditional, help: "The question, or with --raw the whole prompt.")
  var prompt: String

  @Flag(help: "Take the prompt as it is: no template; a picture needs an <image> in it.")
  var raw = false

  @Option(parsing: .unconditional, help: "New tokens at most.")
  var maxTokens = 512

  @Option(
    parsing: .unconditionalSingleValue,
    help: "End the answer before this text; can be given several times.")
  var stop: [String] = []

  @Flag(help: "Print one JSON object when the answer is complete.")
  var json = false

  @OptionGroup var sampling: SamplingOptions
  @OptionGroup var weights: WeightOptions
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    if !(1...1_000_000).contains(maxTokens) {
      throw ValidationError("--max-tokens must be between 1 and 1000000, not \(maxTokens).")
    }
  }

  func run() throws {
    let sampling = try sampling.sampling()
    let device = try machine.open()
    let picture = try image.map { try RGBImage(contentsOf: URL(fileURLWithPath: $0)) }
    let model = try VisionLanguageModel.load(
      URL(fileURLWithPath: model, isDirectory: true), quantization: weights.quantization,
      on: device)
    let ids =
      raw
      ? PromptTemplate.phi.encode(prompt, with: model.tokenizer)
      : model.promptIDs(question: prompt, withPicture: picture != nil)
    var request = GenerationRequest(promptIDs: ids, pictures: picture.map { [$0] } ?? [])
    request.maximumTokens = maxTokens
    request.sampling = sampling
    request.stopTexts = stop
    var failure: (any Error)?
    let answer = try model.generate(request) { piece in
      guard !json else { return true }
      do { try StandardOutput.write(piece) } catch { failure = error }
      return failure == nil
    }
    if let failure { throw failure }
    if json {
      try StandardOutput.print(GenerationReport(answer).jsonText())
    } else {
      try StandardOutput.print("")
      StandardError.print(
        String(
          format: "%d tokens, first after %.2f s, then %.1f tokens/s", answer.ids.count,
          answer.promptSeconds, answer.tokensPerSecond))
    }
  }
}

/// What `--json` prints.
private struct GenerationReport: Encodable {
  /// −200 where the picture stands.
  let promptIds: [Int]
  let ids: [Int]
  let text: String
  let end: Generation.End
  let seconds: Double
  let tokensPerSecond: Double

  init(_ answer: Generation) {
    promptIds = answer.promptIDs
    ids = answer.ids
    text = answer.text
    end = answer.end
    seconds = answer.seconds
    tokensPerSecond = answer.tokensPerSecond
  }
}
