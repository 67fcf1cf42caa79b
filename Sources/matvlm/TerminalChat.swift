import Foundation
import MaTVLMCore

/// A conversation as the terminal shows it: answers on standard output, everything else on standard
/// error. Line editing is the terminal's own.
struct TerminalChat {
  private var session: ChatSession
  /// Sets a session's options, which a file does not have.
  private let prepare: (inout ChatSession) throws -> Void
  /// What the next question is about.
  private var picture: (name: String, image: RGBImage)?
  private var lastAnswer: Generation?
  private let interrupts = Interrupts { Self.showPrompt(after: "\n") }

  init(_ session: ChatSession, _ prepare: @escaping (inout ChatSession) throws -> Void) {
    self.session = session
    self.prepare = prepare
  }

  /// Goes on with a conversation that was saved.
  mutating func load(_ path: String) throws {
    session = try ChatSession.load(
      URL(fileURLWithPath: path), with: session.model, byteBudget: session.byteBudget)
    picture = nil
    StandardError.print(
      "\(path): turns \(session.turns), pictures \(session.history.pictures.count)")
  }

  /// Follows the lines of standard input to its end.
  /// - Throws: when answers cannot be written any more, or the device has failed.
  mutating func run() throws {
    try prepare(&session)
    if Self.isTerminal { StandardError.print("/help lists the instructions") }
    while true {
      Self.showPrompt()
      guard let line = readLine() else {
        if Self.isTerminal { StandardError.print("") }
        return
      }
      let instruction = ChatInstruction(line)
      if instruction == .quit { return }
      do {
        try follow(instruction)
      } catch  where FailureReport(error).isAboutInput {
        StandardError.print(FailureReport(error).message)
      }
    }
  }

  private mutating func follow(_ instruction: ChatInstruction) throws {
    switch instruction {
    case .nothing, .quit: break
    case .ask(let question): try ask(question)
    case .image(let path):
      let image = try RGBImage(contentsOf: URL(fileURLWithPath: path))
      picture = (path, image)
      StandardError.print("\(path): \(image.width) x \(image.height); what about it?")
    case .reset:
      session.reset()
      (picture, lastAnswer) = (nil, nil)
      StandardError.print("a new conversation")
    case .save(let path):
      try session.save(to: URL(fileURLWithPath: path))
      StandardError.print("\(path): saved")
    case .load(let path):
      try load(path)
      try prepare(&session)
    case .stats: showStatistics()
    case .help: StandardError.print(ChatInstruction.summary)
    case .unknown(let text):
      StandardError.print("\(text): no such instruction, or something is missing; see /help")
    }
  }

  private mutating func ask(_ question: String) throws {
    var failure: (any Error)?
    let answer: Generation
    do {
      answer = try interrupts.stopping { shouldStop in
        try session.respond(
          to: question, picture: picture?.image,
          onText: { piece in
            do { try StandardOutput.write(piece) } catch { failure = error }
            return failure == nil
          }, shouldStop: shouldStop)
      }
    } catch is CancellationError {
      return StandardError.print("(stopped; the question was not taken)")
    }
    if let failure { throw failure }
    (lastAnswer, picture) = (answer, nil)
    try StandardOutput.print("")
    switch answer.end {
    case .caller: StandardError.print("(stopped)")
    case .maximumTokens: StandardError.print("(cut after \(answer.ids.count) tokens)")
    case .endToken, .stopText: break
    }
  }

  private func showStatistics() {
    let mebibytes = String(format: "%.1f", Double(session.byteCount) / Double(1 << 20))
    StandardError.print(
      """
      conversation  turns \(session.turns), pictures \(session.history.pictures.count), \
      rows \(session.rows)
      kept          \(mebibytes) of \(session.byteBudget >> 20) MiB
      """)
    if let picture { StandardError.print("next          about \(picture.name)") }
    guard let answer = lastAnswer else { return }
    StandardError.print(
      String(
        format:
          "last answer   %d tokens; %d rows read, first token after %.2f s, then %.1f tokens/s",
        answer.ids.count, answer.promptRows, answer.promptSeconds, answer.tokensPerSecond))
  }

  private static let isTerminal = isatty(STDIN_FILENO) == 1

  private static func showPrompt(after text: String = "") {
    if isTerminal { StandardError.write(text + "> ") }
  }
}
