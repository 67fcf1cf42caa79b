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

  @Flag(help: "Print one JSON object when the answer is complete.")
  var json = false

  @OptionGroup var answers: AnswerOptions
  @OptionGroup var machine: MachineOptions

  func run() throws {
    let device = try machine.open()
    let picture = try image.map { try RGBImage(contentsOf: URL(fileURLWithPath: $0)) }
    let model = try VisionLanguageModel.load(
      URL(fileURLWithPath: model, isDirectory: true), on: device)
    let ids =
      raw
      ? PromptTemplate.phi.encode(prompt, with: model.tokenizer)
      : model.promptIDs(question: prompt, withPicture: picture != nil)
    let request = try answers.request(ids, pictures: picture.map { [$0] } ?? [])
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
