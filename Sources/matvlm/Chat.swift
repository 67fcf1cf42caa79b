import ArgumentParser
import Foundation
import MaTVLMCore

/// `matvlm chat`
struct Chat: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "A conversation in the terminal, about pictures or not.",
    discussion: """
      A line is a question, or one of these:

      \(ChatInstruction.summary)
      """)

  @Option(help: "The model's folder.", completion: .directory)
  var model: String

  @Option(help: "A conversation that was saved, to go on with.", completion: .file())
  var load: String?

  @Option(
    parsing: .unconditional,
    help: "MiB of states and pictures that are kept between answers, and saved, at most.")
  var keep = 4096

  @OptionGroup var answers: AnswerOptions
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    if !(0...(1 << 24)).contains(keep) {
      throw ValidationError("--keep must be between 0 and \(1 << 24), not \(keep).")
    }
  }

  func run() throws {
    let device = try machine.open()
    let model = try answers.load(model, on: device)
    var chat = TerminalChat(ChatSession(model, byteBudget: keep << 20)) { session in
      // Options were checked when they were parsed.
      try answers.apply(to: &session)
    }
    if let load { try chat.load(load) }
    try chat.run()
  }
}
