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

  @Option(help: "The question, or with --raw the whole prompt.")
  var prompt: String

  @Flag(help: "Take the prompt as it is: no template; a picture needs an <image> in it.")
  var raw = false

  @Option(help: "New tokens at most.")
  var maxTokens = 512

  @Option(help: "End the answer before this text; can be given several times.")
  var stop: [String] = []

  @Flag(help: "Print one JSON object when the answer is complete.")
  var json = false

  @OptionGroup var sampling: SamplingOptions
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    if !(1...1_000_000).contains(maxTokens) {
      throw ValidationError("--max-tokens must be between 1 and 1000000, not \(maxTokens).")
    }
  }

  func run() throws {
    let sampling = try sampling.sampling()
    machine.apply()
    let picture = try image.map { try RGBImage(contentsOf: URL(fileURLWithPath: $0)) }
    let model = try VisionLanguageModel.load(URL(fileURLWithPath: model, isDirectory: true))
    let ids =
      raw
      ? PromptTemplate.phi.encode(prompt, with: model.tokenizer)
      : model.promptIDs(question: prompt, withPicture: picture != nil)
    var request = GenerationRequest(promptIDs: ids, pictures: picture.map { [$0] } ?? [])
    request.maximumTokens = maxTokens
    request.sampling = sampling
    request.stopTexts = stop
    let answer = try model.generate(request) { piece in
      if !json { FileHandle.standardOutput.write(Data(piece.utf8)) }
      return true
    }
    if json {
      print(try GenerationReport(answer).jsonText())
    } else {
      print()
      StandardError.print(
        String(
          format: "%d tokens, first after %.2f s, then %.1f tokens/s", answer.ids.count,
          answer.promptSeconds, answer.tokensPerSecond))
    }
  }
}

/// What `--json` prints.
private struct GenerationReport: Encodable {
  let prompt_ids: [Int]
  let ids: [Int]
  let text: String
  let end: Generation.End
  let seconds: Double
  let tokens_per_second: Double

  init(_ answer: Generation) {
    prompt_ids = answer.promptIDs
    ids = answer.ids
    text = answer.text
    end = answer.end
    seconds = answer.seconds
    tokens_per_second = answer.tokensPerSecond
  }
}
