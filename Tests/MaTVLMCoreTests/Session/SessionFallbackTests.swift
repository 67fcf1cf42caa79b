import MaTVLMCore
import MaTVLMTestSupport
import Testing

@Suite("Sessions that stop, take back, or forget go on with the same tokens")
struct SessionFallbackTests {
  private let questions: [SessionQuestion]

  init() throws { questions = try SessionQuestion.golden() }

  private func session(_ folder: String, turns: Int) throws -> ChatSession {
    var session = ChatSession(try GoldenModels.load(folder))
    session.maximumTokens = 12
    try expectEqualAnswers(&session, Array(questions.prefix(turns)))
    return session
  }

  @Test(
    "an answer that the caller ended stays as far as it came", arguments: ["teacher", "student"])
  func ended(_ folder: String) throws {
    var session = try session(folder, turns: 1)
    var pieces = 0
    let answer = try session.respond(to: questions[1].text) { _ in
      pieces += 1
      return pieces < 3
    }
    #expect(answer.end == .caller && (1..<12).contains(answer.ids.count) && session.turns == 2)
    #expect(session.history.ids.suffix(answer.ids.count) == answer.ids[...])
    try expectEqualAnswers(&session, Array(questions.dropFirst(2)))
  }

  @Test("an answer that was to stop, at whatever moment", arguments: ["teacher", "student"])
  func stopped(_ folder: String) throws {
    let model = try GoldenModels.load(folder)
    let blocks = model.configuration.vision.usedLayers + model.decoder.blocks.count
    for moment in 1...blocks + 3 {
      var session = try session(folder, turns: 2)
      let before = session.history
      var polls = 0
      let stop: () -> Bool = {
        polls += 1
        return polls >= moment
      }
      if moment <= blocks {
        #expect(throws: CancellationError.self) {
          try session.respond(
            to: questions[2].text, picture: questions[2].picture, shouldStop: stop)
        }
        #expect(session.history == before && session.turns == 2)
        try expectEqualAnswers(&session, Array(questions.dropFirst(2)))
      } else {
        let answer = try session.respond(
          to: questions[2].text, picture: questions[2].picture, shouldStop: stop)
        #expect(answer.end == .caller && answer.ids.count == moment - blocks)
        try expectEqualAnswers(&session, Array(questions.dropFirst(3)))
      }
    }
  }

  @Test("a stop text was not said, so that the question's snapshot is taken up again")
  func stopText() throws {
    var session = try session("student", turns: 1)
    let whole = try session.respond(to: questions[1].text)
    session.removeLastTurn()
    session.stopTexts = [String(whole.text.dropFirst(4).prefix(2))]
    let answer = try session.respond(to: questions[1].text)
    #expect(answer.end == .stopText && whole.text.hasPrefix(answer.text))
    let said = session.model.tokenizer.decode(session.history.ids)
    #expect(said.hasSuffix("ASSISTANT:" + answer.text))
    let rows = session.rows
    let saidIDs = session.model.tokenizer.encode(answer.text).count
    let next = try expectEqualAnswers(&session, Array(questions.suffix(1)), reusesAll: false)
    // At most the whole answer is read again, and not its question.
    let prompt =
      next[0].promptIDs.count
      + session.history.pictures.count * (session.model.configuration.vision.tokens - 1)
    #expect(next[0].promptRows <= prompt - (rows - saidIDs))
  }

  @Test("a question that was taken back makes room for another", arguments: ["teacher", "student"])
  func takenBack(_ folder: String) throws {
    var session = try session(folder, turns: 3)
    let before = session.history
    session.removeLastTurn()
    session.removeLastTurn()
    #expect(session.turns == 1 && before.ids.starts(with: session.history.ids))
    #expect(session.history.pictures.count == 1)
    // The same words about another picture. A teacher goes on from the middle of a question.
    try expectEqualAnswers(
      &session, [questions[1], SessionQuestion(questions[2].text, GoldenModels.picture("h.png"))],
      reusesAll: folder == "student")
    while session.turns > 0 { session.removeLastTurn() }
    session.removeLastTurn()
    #expect(session.history.ids.isEmpty && session.history.pictures.isEmpty)
    try expectEqualAnswers(&session, questions, reusesAll: false)
  }

  @Test("whatever the budget leaves, the tokens stay", arguments: ["teacher", "student"])
  func budgets(_ folder: String) throws {
    let whole = try session(folder, turns: 4).byteCount
    #expect(whole > 0)
    for budget in [0, 1, whole / 8, whole / 4, whole / 2, whole * 3 / 4, whole - 1, whole] {
      var session = try session(folder, turns: 1)
      session.byteBudget = budget
      for question in questions.dropFirst() {
        #expect(session.byteCount <= budget)
        try expectEqualAnswers(&session, [question], reusesAll: false)
      }
      #expect(session.byteCount <= budget && session.turns == 4)
    }
  }

  @Test("snapshots and pictures go first: a small budget still spares reading everything again")
  func order() throws {
    var session = try session("student", turns: 3)
    let whole = session.byteCount
    session.byteBudget = whole - 1
    #expect(session.byteCount < whole)
    try expectEqualAnswers(&session, Array(questions.suffix(1)))
    session.byteBudget = 0
    #expect(session.byteCount == 0)
    let again = try session.respond(to: "again")
    #expect(again.promptRows > again.promptIDs.count)
  }
}
