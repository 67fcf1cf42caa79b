import Foundation
import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Model folders that cannot be used")
struct ModelFolderErrorTests {
  @Test("a folder without a file that a model needs")
  func files() throws {
    #expect(throws: ConfigurationError.self) {
      try VisionLanguageModel.load(GoldenModels.folder("nowhere"))
    }
    for file in ["config.json", "model.safetensors"] {
      let folder = try ModelFolder()
      try folder.remove(file)
      let error = #expect(throws: (any Error).self) { try folder.load() }
      #expect("\(error!)".contains(folder.url.path), "\(error!)")
    }
    let folder = try ModelFolder()
    for file in ["tokenizer.json", "vocab.json"] { try folder.remove(file) }
    #expect(throws: TokenizerError.self) { try folder.load() }
  }

  @Test("either form of the tokenizer is enough")
  func tokenizers() throws {
    let ids = try GoldenModels.load("student").promptIDs(question: "is it red?", withPicture: true)
    for files in [["tokenizer.json"], ["vocab.json", "merges.txt", "added_tokens.json"]] {
      let folder = try ModelFolder()
      for file in files { try folder.remove(file) }
      #expect(try folder.load().promptIDs(question: "is it red?", withPicture: true) == ids)
    }
  }

  /// One tensor of each kind that a model reads.
  private static let tensors = [
    "language_model.model.embed_tokens.weight", "language_model.lm_head.bias",
    "language_model.model.final_layernorm.weight",
    "language_model.model.layers.1.self_attn.q_proj.bias",
    "language_model.model.layers.0.mamba.A_log",
    "language_model.model.layers.2.mamba.conv1d.weight",
    "language_model.model.layers.3.mlp.fc1.weight", "connector._connector.2.weight",
    "vision_tower._vision_tower.vision_model.embeddings.patch_embedding.weight",
    "vision_tower._vision_tower.vision_model.encoder.layers.1.mlp.fc2.bias",
  ]

  @Test("a tensor is missing, or of another shape", arguments: tensors)
  func tensor(_ name: String) throws {
    let folder = try ModelFolder()
    let file = folder.url.appending(path: "model.safetensors").path
    let shape = try #require(try SafetensorsFile(URL(filePath: file)).entry(name)).shape
    try folder.replace(name, by: nil)
    #expect(throws: CheckpointError.missingTensor(path: file, tensor: name)) { try folder.load() }

    let other = try ModelFolder()
    let longer = Shape([shape[0] + 1] + shape.dimensions.dropFirst())
    try other.replace(name, by: longer)
    #expect(
      throws: CheckpointError.wrongShape(
        path: other.url.appending(path: "model.safetensors").path, tensor: name, expected: shape,
        found: longer)
    ) { try other.load() }
  }

  @Test("tensors that no model has a place for")
  func unexpected() throws {
    let names = [
      "language_model.model.layers.4.mlp.fc1.weight", "language_model.model.layers.0.self_attn.x",
      "vision_tower._vision_tower.vision_model.encoder.layers.3.mlp.fc1.bias", "extra",
    ]
    for name in names {
      let folder = try ModelFolder()
      try folder.rewriteTensors { $0 + [CheckpointTensor(name, .zeros([2]))] }
      let file = folder.url.appending(path: "model.safetensors").path
      #expect(throws: CheckpointError.unexpectedTensors(path: file, tensors: [name])) {
        try folder.load()
      }
    }
  }

  @Test("what publishers save and nothing computes with may be there or not")
  func uncomputed() throws {
    let folder = try ModelFolder()
    let tower = "vision_tower._vision_tower.vision_model."
    let isUncomputed = { (name: String) in
      [tower + "head.", tower + "post_layernorm.", tower + "encoder.layers.2."]
        .contains { name.hasPrefix($0) }
    }
    let before = try Checkpoint.open(folder.url).names
    #expect(before.contains(where: isUncomputed))
    try folder.rewriteTensors { $0.filter { !isUncomputed($0.name) } }
    let ids = [try GoldenCases.read().samples[2].ids]
    let logits = try GoldenModels.load("student").logits(ids).array()
    #expect(try folder.load().logits(ids).array() == logits)
  }

  @Test("a teacher's tensors under a hybrid's configuration, and the other way round")
  func kinds() throws {
    let hybrid = try ModelFolder()
    try hybrid.set(["attn_layers"], of: "mamba_config.json", to: .array([0, 1, 3]))
    #expect(throws: CheckpointError.self) { try hybrid.load() }
    let teacher = try ModelFolder()
    try teacher.remove("mamba_config.json")
    #expect(throws: CheckpointError.self) { try teacher.load() }
  }

  @Test("a vocabulary smaller than its tokenizer")
  func vocabulary() throws {
    let tokens = try GoldenModels.load("student").tokenizer.vocabularySize
    for (count, fits) in [(tokens, true), (tokens - 1, false)] {
      let folder = try ModelFolder()
      try folder.set(["vocab_size"], to: .integer(count))
      try folder.set(["text_config", "vocab_size"], to: .integer(count))
      try folder.replace([
        "language_model.model.embed_tokens.weight": [count, 64],
        "language_model.lm_head.weight": [count, 64], "language_model.lm_head.bias": [count],
      ])
      if fits {
        #expect(throws: Never.self) { try folder.load() }
      } else {
        let error = #expect(throws: ConfigurationError.self) { try folder.load() }
        #expect("\(error!)".contains("vocab_size") && "\(error!)".contains("\(tokens)"))
      }
    }
  }

  @Test("a tensor of whole numbers")
  func type() throws {
    let folder = try ModelFolder()
    let name = "connector._connector.0.bias"
    try folder.rewriteTensors { tensors in
      tensors.map { tensor in
        tensor.name == name
          ? CheckpointTensor(name, .int32, [64], bytes: Data(count: 256)) : tensor
      }
    }
    let file = folder.url.appending(path: "model.safetensors").path
    #expect(throws: CheckpointError.wrongType(path: file, tensor: name, found: "I32")) {
      try folder.load()
    }
  }
}
