import Foundation
import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Saved conversations")
struct SessionFileTests {
  private let folder: TemporaryFolder
  private var place: URL { folder["a.session"] }
  private let questions: [SessionQuestion]

  init() throws {
    folder = try TemporaryFolder()
    questions = try SessionQuestion.golden()
  }

  private func session(_ name: String, turns: Int) throws -> ChatSession {
    var session = ChatSession(try GoldenModels.load(name))
    session.maximumTokens = 8
    try expectEqualAnswers(&session, Array(questions.prefix(turns)))
    return session
  }

  private func load(_ name: String, byteBudget: Int = .max) throws -> ChatSession {
    var session = try ChatSession.load(
      place, with: try GoldenModels.load(name), byteBudget: byteBudget)
    session.maximumTokens = 8
    return session
  }

  @Test(
    "goes on where it was, reading no more than what is new",
    arguments: ["teacher", "student", "student-bf16"])
  func roundTrip(_ name: String) throws {
    let saved = try session(name, turns: 3)
    try saved.save(to: place)
    var loaded = try load(name)
    #expect(loaded.history == saved.history && loaded.turns == 3)
    try loaded.save(to: folder["b.session"])
    #expect(try Data(contentsOf: place) == Data(contentsOf: folder["b.session"]))
    try expectEqualAnswers(&loaded, Array(questions.suffix(1)))
    loaded.removeLastTurn()
    loaded.removeLastTurn()
    try expectEqualAnswers(&loaded, [SessionQuestion("what else")], reusesAll: name != "teacher")
    #expect(try folder.content == ["a.session", "b.session"])
  }

  @Test("of a conversation that was cut back, nothing but what is left is written")
  func cutBack() throws {
    var session = try session("student", turns: 3)
    session.removeLastTurn()
    try session.save(to: place)
    var loaded = try load("student")
    #expect(loaded.turns == 2 && loaded.history.pictures.count == 1)
    try expectEqualAnswers(&loaded, Array(questions.suffix(2)))
    // Nothing has been said.
    session.reset()
    try session.save(to: place)
    var empty = try load("student")
    #expect(empty.turns == 0 && empty.rows == 0)
    try expectEqualAnswers(&empty, questions)
  }

  @Test("a byte budget bounds what is written and what is kept", arguments: ["teacher", "student"])
  func budget(_ name: String) throws {
    let session = try session(name, turns: 3)
    try session.save(to: place, byteBudget: 0)
    let least = try Data(contentsOf: place).count
    #expect(try load(name).byteCount == 0)
    for budget in [0, session.byteCount / 4, session.byteCount / 2, session.byteCount] {
      try session.save(to: place, byteBudget: budget)
      // Headers of the tensors that are there apart.
      #expect(try Data(contentsOf: place).count <= least + budget + 200 * 200)
      var loaded = try load(name)
      #expect(loaded.byteCount <= budget)
      try expectEqualAnswers(&loaded, Array(questions.suffix(1)), reusesAll: false)
    }
    #expect(try load(name, byteBudget: 1000).byteCount <= 1000)
  }

  @Test("what is no conversation is not replaced")
  func occupied() throws {
    let session = try session("teacher", turns: 1)
    try folder.write("a.session", Data("mine".utf8))
    #expect(throws: SessionError.occupied(path: place.path)) { try session.save(to: place) }
    #expect(try Data(contentsOf: place) == Data("mine".utf8))
    #expect(throws: CheckpointError.self) { try session.save(to: folder["none/a.session"]) }
    #expect(throws: SessionError.occupied(path: folder.url.path)) {
      try session.save(to: folder.url)
    }
    #expect(try folder.content == ["a.session"])
  }

  @Test("conversations with other models are refused")
  func otherModels() throws {
    try session("student", turns: 1).save(to: place)
    for name in ["teacher", "student-bf16"] {
      #expect(throws: SessionError.otherModel(path: place.path)) { try load(name) }
    }
    // One matrix of the same model.
    let changed = try GoldenModels.load("student")
    let weight = changed.decoder.head.weight
    weight.assign(Tensor(weight.value.array().map { $0 * 1.01 }, weight.value.shape))
    #expect(throws: SessionError.otherModel(path: place.path)) {
      try ChatSession.load(place, with: changed)
    }
  }

  @Test("a file that ends early is refused, wherever it ends")
  func truncated() throws {
    let session = try session("student", turns: 1)
    try session.save(to: place)
    let whole = try Data(contentsOf: place)
    for count in [0, 4, 8, 200, whole.count / 2, whole.count - 1] {
      try folder.write("a.session", whole.prefix(count))
      #expect(throws: CheckpointError.self) { try load("student") }
    }
  }
}
