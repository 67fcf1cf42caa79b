import Foundation
import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Saving what was loaded")
struct SavingTests {
  private func expectSame(_ a: FolderContent, _ b: FolderContent) {
    #expect(Set(a.tensors.keys) == Set(b.tensors.keys))
    for (name, tensor) in a.tensors { #expect(b.tensors[name] == tensor, "\(name)") }
    #expect(a.json == b.json)
    #expect(Set(a.tokenizer.keys) == Set(b.tokenizer.keys))
    #expect(a.tokenizer == b.tokenizer)
  }

  @Test(
    "tensors, configuration and tokenizer come back as they were",
    arguments: ["teacher"] + GoldenModels.students)
  func identity(_ name: String) throws {
    let folder = try TemporaryFolder()
    try GoldenModels.load(name).save(to: folder["saved"])
    expectSame(
      try FolderContent(folder["saved"]), try FolderContent(GoldenModels.folder(name)))
    #expect(
      FileManager.default.fileExists(atPath: folder["saved/mamba_config.json"].path)
        == (name != "teacher"))
  }

  @Test("keys that nobody knows survive")
  func unknownKeys() throws {
    let folder = try ModelFolder()
    let value = JSONValue.object(["a": .array([1, .null, "é\n", 0.5]), "b": .bool(true)])
    try folder.set(["published_by"], to: value)
    try folder.set(["text_config", "extra"], to: value)
    try folder.set(["vision_config", "extra"], to: value)
    try folder.set(["ssm_cfg", "extra"], of: "mamba_config.json", to: value)
    try folder.set(["extra"], of: "mamba_config.json", to: 12)
    try folder.load().save(to: folder["saved"])
    expectSame(try FolderContent(folder["saved"]), try FolderContent(folder.url))
  }

  @Test("a new student is written in the authors' layout and comes back bit for bit")
  func newStudent() throws {
    let teacher = try GoldenModels.load("teacher")
    let student = try teacher.student(replacing: [2, 0], .paper, seed: 1)
    let folder = try TemporaryFolder()
    try student.save(to: folder["saved"])
    let (saved, golden) = (
      try FolderContent(folder["saved"]), try FolderContent(GoldenModels.folder("student"))
    )
    #expect(saved.json == golden.json)
    #expect(saved.tensors.mapValues(\.shape) == golden.tensors.mapValues(\.shape))
    #expect(saved.tokenizer == golden.tokenizer)
    let loaded = try VisionLanguageModel.load(folder["saved"])
    let ids = [try GoldenCases.read().samples[2].ids]
    #expect(loaded.logits(ids).array() == student.logits(ids).array())
  }

  @Test("another type rounds, and says so", arguments: [DType.bfloat16, .float16])
  func types(_ type: DType) throws {
    let folder = try TemporaryFolder()
    try GoldenModels.load("student").save(to: folder["saved"], as: type)
    let name = type == .bfloat16 ? "student-bf16" : "student-f16"
    let (saved, golden) = (
      try FolderContent(folder["saved"]), try FolderContent(GoldenModels.folder(name))
    )
    #expect(saved.json == golden.json)
    // What is only carried along keeps its type.
    for parameter in try GoldenModels.load(name).parameters {
      #expect(saved.tensors[parameter.name] == golden.tensors[parameter.name], "\(parameter.name)")
    }
  }

  @Test("a fresh model comes back bit for bit")
  func fresh() throws {
    var sizes = ModelSizes()
    let tokenizer = try GoldenModels.load("teacher").tokenizer
    (sizes.vocabulary, sizes.hidden, sizes.intermediate) = (tokenizer.vocabularySize, 32, 64)
    (sizes.layers, sizes.heads, sizes.endToken, sizes.rotaryFactor) = (2, 4, 0, 0.5)
    (sizes.vision.hidden, sizes.vision.intermediate, sizes.vision.layers) = (16, 32, 2)
    (sizes.vision.heads, sizes.vision.image) = (2, 28)
    let model = try VisionLanguageModel.fresh(sizes.configuration(), tokenizer: tokenizer, seed: 4)
    let folder = try TemporaryFolder()
    try model.save(to: folder["saved"])
    let loaded = try VisionLanguageModel.load(folder["saved"])
    let again = Dictionary(
      uniqueKeysWithValues: loaded.parameters.map { ($0.name, $0.value.array()) })
    #expect(again.count == model.parameters.count)
    for parameter in model.parameters {
      #expect(again[parameter.name] == parameter.value.array(), "\(parameter.name)")
    }
    let text = "a red circle  and\n\tsome café"
    #expect(loaded.tokenizer.encode(text) == tokenizer.encode(text))
    // No two parameters were drawn alike.
    let drawn = model.parameters.filter { $0.shape.dimensions.count > 1 }.map { $0.value.array() }
    #expect(Set(drawn).count == drawn.count)
  }

  @Test("what fails halfway leaves nothing, and what is there is not overwritten")
  func atomic() throws {
    struct Halfway: Error {}
    let student = try GoldenModels.load("student")
    let folder = try TemporaryFolder()
    #expect(throws: Halfway.self) {
      try student.save(to: folder["saved"], extra: { _ in throw Halfway() })
    }
    #expect(try folder.content == [])
    try folder.write("mine/notes.txt", Data("keep".utf8))
    #expect(throws: CheckpointError.self) { try student.save(to: folder["mine"]) }
    #expect(try folder.content == ["mine", "mine/notes.txt"])
  }
}
