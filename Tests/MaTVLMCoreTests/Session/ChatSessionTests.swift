import MaTVLMCore
import MaTVLMTestSupport
import Testing

@Suite("Sessions: a turn costs its new tokens, and answers as if everything were read again")
struct ChatSessionTests {
  @Test(
    "several turns about two pictures, greedy",
    arguments: CPUVariant.all, ["teacher", "student"])
  func turns(_ variant: CPUVariant, _ folder: String) throws {
    let model = try GoldenModels.load(folder, on: variant.device)
    var session = ChatSession(model)
    session.maximumTokens = 12
    try expectEqualAnswers(&session, SessionQuestion.golden())
  }

  @Test("several turns about two pictures, drawn and penalised")
  func drawn() throws {
    var session = ChatSession(try GoldenModels.load("student"))
    session.maximumTokens = 12
    (session.sampling.temperature, session.sampling.topP, session.sampling.seed) = (1, 0.9, 7)
    session.sampling.repetitionPenalty = 1.2
    try expectEqualAnswers(&session, SessionQuestion.golden())
  }

  @Test(
    "the embedded teacher and its student",
    .enabled(if: EmbeddedTeacher.isThere, "the embedded teacher is not in this build"))
  func embedded() throws {
    let teacher = try VisionLanguageModel.load(ShapesTeacher.folder())
    let shapes = ShapeDataset(seed: 5, split: .heldOut)
    let questions = [
      SessionQuestion("Describe the picture.", shapes.picture(0)),
      SessionQuestion("How many shapes are there?"),
      SessionQuestion("Describe the picture.", shapes.picture(1)),
      SessionQuestion("Where is the red star?"),
    ]
    for model in [teacher, try teacher.student(replacing: [0, 4], .identity, seed: 1)] {
      var session = ChatSession(model)
      session.maximumTokens = 24
      let answers = try expectEqualAnswers(&session, questions)
      if model.decoder.mambaLayers.isEmpty {
        // What the model learned ends every answer, so that the template writes the same.
        #expect(answers.allSatisfy { $0.end == .endToken })
        let turns = zip(questions, answers).map { question, answer in
          Turn(
            question: (question.picture == nil ? "" : "<image>\n") + question.text,
            answer: String(answer.text.dropFirst()))
        }
        let text = PromptTemplate.phi.trainingText(turns)
        #expect(session.history.ids == PromptTemplate.phi.encode(text, with: model.tokenizer))
      }
    }
  }

  @Test("a picture goes through the tower once, also after a reset")
  func pictures() throws {
    let model = try GoldenModels.load("student")
    var session = ChatSession(model)
    session.maximumTokens = 1
    /// How often the session asks whether to stop: once for each block that it computes, and once
    /// for the token.
    func polls(_ name: String) throws -> Int {
      var polls = 0
      let stop: () -> Bool = {
        polls += 1
        return false
      }
      _ = try session.respond(
        to: "what", picture: GoldenModels.picture(name), shouldStop: stop)
      return polls
    }
    let decoder = model.decoder.blocks.count
    let tower = model.configuration.vision.usedLayers
    #expect(try polls("a.png") == tower + decoder)
    #expect(try polls("a.png") == decoder)
    #expect(try polls("d.png") == tower + decoder)
    session.reset()
    #expect(session.rows == 0 && session.turns == 0)
    #expect(try polls("a.png") == decoder)
  }

  @Test("later turns copy no caches: the first makes room for the context, where the budget has it")
  func room() throws {
    let model = try GoldenModels.load("teacher")
    let context = model.decoder.makeState(capacity: model.configuration.maximumLength).byteCount
    for (byteBudget, hasRoom) in [(Int.max, true), (2 * context, true), (2 * context - 1, false)] {
      var session = ChatSession(model, byteBudget: byteBudget)
      session.maximumTokens = 2
      let kept = try (0..<3).map { _ in
        _ = try session.respond(to: "how many")
        return session.byteCount
      }
      #expect(hasRoom ? kept == [context, context, context] : kept[0] < kept[2])
    }
  }

  @Test("what a question may not be leaves the conversation as it was", arguments: ["student"])
  func problems(_ folder: String) throws {
    var session = ChatSession(try GoldenModels.load(folder))
    session.maximumTokens = 4
    let questions = try SessionQuestion.golden()
    try expectEqualAnswers(&session, Array(questions.prefix(1)))
    let before = session.history
    #expect(throws: GenerationError.pictures(placeholders: 2, pictures: 1)) {
      try session.respond(to: "what is <image>")
    }
    session.maximumTokens = 0
    #expect(throws: GenerationError.maximumTokens(0)) { try session.respond(to: "what") }
    session.maximumTokens = 4
    #expect(session.history == before && session.turns == 1)
    try expectEqualAnswers(&session, Array(questions.dropFirst()))
  }
}
