import Foundation
import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

/// A change to a saved conversation after which it must be refused.
struct SpoiledSession: Sendable, CustomTestStringConvertible {
  let testDescription: String
  /// The tensor that the error names.
  let tensor: String
  /// What the error says of it.
  var problem = ""
  /// What stands in its place; nil: nothing.
  let replacement: (@Sendable () -> CheckpointTensor)?
  var model = "student"

  private init(
    _ name: String, _ tensor: String, model: String = "student", problem: String = "",
    _ replacement: (@Sendable () -> CheckpointTensor)?
  ) {
    (testDescription, self.tensor, self.replacement) = (name, tensor, replacement)
    (self.model, self.problem) = (model, problem)
  }

  private static func indices(_ name: String, _ tensor: String, _ values: [Int]) -> Self {
    Self(name, tensor) { CheckpointTensor(tensor, Tensor(indices: values)) }
  }

  private static func zeros(_ name: String, _ tensor: String, _ shape: Shape, _ type: DType) -> Self
  {
    Self(name, tensor) { CheckpointTensor(tensor, .zeros(shape, type)) }
  }

  static let all: [Self] = [
    Self("no ids", "ids", nil),
    zeros("ids of another type", "ids", [9], .float32),
    zeros("ids of two dimensions", "ids", [3, 3], .int32),
    indices("an id beyond the vocabulary", "ids", [1, 2, 640]),
    indices("a negative id", "ids", [1, -1, 3]),
    Self("a picture missing", "pictures.1", nil),
    zeros("a picture of another size", "pictures.0", [4, 4, 3], .float32),
    zeros("image rows of another width", "image_rows.0", [4, 4], .float32),
    zeros("image rows that are no numbers", "image_rows.1", [16, 64], .int32),
    Self("no turns", "turns", nil),
    indices("turns that begin late", "turns", [3]),
    indices("turns that do not grow", "turns", [0, 5, 5]),
    indices("turns beyond the ids", "turns", [0, 100_000]),
    indices("an empty conversation of one turn", "turns", []),
    Self("no list of states", "states", nil),
    indices("a state of no ids", "states", [0, 4]),
    indices("a state of more ids than there are", "states", [100_000]),
    indices("more states than are stored", "states", [4, 5, 6, 7, 8, 9, 10, 11, 12, 13]),
    Self("keys missing", "layers.1.keys", nil),
    zeros("values of fewer rows", "layers.1.values", [3, 64], .float32),
    zeros("keys that are no numbers", "layers.1.keys", [3, 64], .int32),
    Self("a mixer's state missing", "states.1.layers.0.state", nil),
    zeros("a mixer's tail of another shape", "states.0.layers.0.tail", [1, 1], .float32),
    zeros("a mixer's state of whole numbers", "states.0.layers.0.state", [4, 16, 16], .int32),
    Self("a mixer's state of no finite numbers", "states.0.layers.0.state", problem: "finite") {
      CheckpointTensor(
        "states.0.layers.0.state", Tensor(Array(repeating: .nan, count: 1024), [4, 16, 16]))
    },
    Self("two states of a teacher", "states", model: "teacher") {
      CheckpointTensor("states", Tensor(indices: [3, 4]))
    },
  ]
}

@Suite("Saved conversations that were spoiled")
struct SpoiledSessionTests {
  @Test("are refused, naming the tensor", arguments: SpoiledSession.all)
  func spoiled(_ spoiled: SpoiledSession) throws {
    let folder = try TemporaryFolder()
    let place = folder["a.session"]
    let model = try GoldenModels.load(spoiled.model)
    var session = ChatSession(model)
    session.maximumTokens = 3
    try expectEqualAnswers(&session, Array(SessionQuestion.golden().prefix(3)))
    try session.save(to: place)
    _ = try ChatSession.load(place, with: model)

    let file = try SafetensorsFile(place)
    try #require(file.entry(spoiled.tensor) != nil)
    let tensors = file.entries.compactMap { entry in
      entry.name == spoiled.tensor
        ? spoiled.replacement?() : CheckpointTensor(entry, of: file)
    }
    try SafetensorsWriter.write(tensors, metadata: file.metadata, to: place)
    #expect {
      try ChatSession.load(place, with: model)
    } throws: { error in
      guard case SessionError.malformed(place.path, let tensor, let problem) = error,
        spoiled.problem.isEmpty || problem.contains(spoiled.problem)
      else { return false }
      // Lists say what they need, and what they need is missed.
      return tensor == spoiled.tensor || spoiled.tensor == "states" && tensor.contains("states.")
        || spoiled.tensor == "ids"
    }
  }

  @Test("other versions and files without a format are refused")
  func metadata() throws {
    let folder = try TemporaryFolder()
    let place = folder["a.session"]
    let model = try GoldenModels.load("teacher")
    try ChatSession(model).save(to: place)
    let file = try SafetensorsFile(place)
    let tensors = file.entries.map { CheckpointTensor($0, of: file) }
    var metadata = file.metadata
    metadata["version"] = "2"
    try SafetensorsWriter.write(tensors, metadata: metadata, to: place)
    #expect(throws: SessionError.version(path: place.path, found: "\"2\"")) {
      try ChatSession.load(place, with: model)
    }
    metadata["format"] = "pt"
    try SafetensorsWriter.write(tensors, metadata: metadata, to: place)
    #expect(throws: SessionError.notASession(path: place.path)) {
      try ChatSession.load(place, with: model)
    }
  }
}
