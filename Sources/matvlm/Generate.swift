import ArgumentParser
import Foundation
import MaTVLMCore

/// `matvlm generate`
struct Generate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Answers a question, about a picture or not; or a file of questions.")

  @Option(help: "The model's folder.", completion: .directory)
  var model: String

  @Option(help: "A JPEG or PNG picture.", completion: .file(extensions: ["jpg", "jpeg", "png"]))
  var image: String?

  @Option(parsing: .unconditional, help: "The question, or with --raw the whole prompt.")
  var prompt: String?

  @Flag(help: "Take the prompt as it is: no template; a picture needs an <image> in it.")
  var raw = false

  @Flag(help: "Print one JSON object when the answer is complete.")
  var json = false

  @OptionGroup var batch: BatchOptions
  @OptionGroup var answers: AnswerOptions
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    guard (prompt == nil) != (batch.batch == nil) else {
      throw ValidationError("Give --prompt, or --batch with a file of prompts.")
    }
    if batch.batch != nil, image != nil {
      throw ValidationError("The lines of --batch name their pictures; leave out --image.")
    }
  }

  func run() throws {
    let device = try machine.open()
    let picture = try image.map { try RGBImage(contentsOf: URL(fileURLWithPath: $0)) }
    let model = try answers.load(model, on: device)
    if let prompt {
      try answer(request(prompt, picture, model), model)
    } else {
      try batch.generation(model) { try request($0, $1, model) }?.run()
    }
  }

  private func request(
    _ prompt: String, _ picture: RGBImage?, _ model: VisionLanguageModel
  ) throws -> GenerationRequest {
    let ids =
      raw
      ? PromptTemplate.phi.encode(prompt, with: model.tokenizer)
      : model.promptIDs(question: prompt, withPicture: picture != nil)
    return try answers.request(ids, pictures: picture.map { [$0] } ?? [])
  }

  private func answer(_ request: GenerationRequest, _ model: VisionLanguageModel) throws {
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
