import Foundation
import Testing

/// A way to spoil the teacher's folder, and what the message must name.
struct SpoiledModel: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let words: [String]
  let spoil: @Sendable (Workplace) throws -> Void

  private static let shard = "teacher/model-00001-of-00002.safetensors"
  private static let norm = "language_model.model.final_layernorm.weight"
  private static let normEntry =
    #""\#(norm)":{"dtype":"F32","shape":[64],"data_offsets":[166912,167168]}"#

  private init(
    _ name: String, _ words: [String], _ spoil: @escaping @Sendable (Workplace) throws -> Void
  ) {
    (testDescription, self.words, self.spoil) = (name, words, spoil)
  }

  /// The entry of the final norm in the header of the first shard is another one.
  private static func header(_ name: String, _ entry: String, _ words: [String] = []) -> Self {
    Self(name, ["model-00001-of-00002.safetensors", norm] + words) {
      try $0.editHeader(shard, normEntry, entry)
    }
  }

  private static func configuration(
    _ name: String, _ old: String, _ new: String, _ words: [String]
  ) -> Self {
    Self(name, ["teacher/config.json"] + words) { try $0.edit("teacher/config.json", old, new) }
  }

  static let all = [
    Self("folder missing", ["teacher/config.json"]) {
      try FileManager.default.removeItem(at: $0.folder["teacher"])
    },
    Self("configuration is not JSON", ["teacher/config.json", "JSON"]) {
      try $0.folder.write("teacher/config.json", Data("model: tiny".utf8))
    },
    configuration(
      "key missing", #""num_hidden_layers": 4,"#, "", ["text_config.num_hidden_layers", "missing"]),
    configuration(
      "key of another kind", #""num_hidden_layers": 4,"#, #""num_hidden_layers": "four","#,
      ["text_config.num_hidden_layers", "four"]),
    configuration(
      "unknown architecture", #""model_type": "tinyllava""#, #""model_type": "resnet""#,
      ["model_type", "resnet"]),
    configuration(
      "unknown activation", #""hidden_act": "gelu_new""#, #""hidden_act": "swish""#,
      ["text_config.hidden_act", "swish"]),
    configuration(
      "unknown connector", "mlp2x_gelu", "resampler", ["connector_type", "resampler"]),
    Self("shard truncated", ["model-00001-of-00002.safetensors"]) {
      let file = try Data(contentsOf: $0.folder[shard])
      try $0.folder.write(shard, file.dropLast(100))
    },
    Self("shard empty", ["model-00001-of-00002.safetensors"]) {
      try $0.folder.write(shard, Data())
    },
    Self("shard missing", ["model-00001-of-00002.safetensors"]) {
      try FileManager.default.removeItem(at: $0.folder[shard])
    },
    Self("header longer than the file", ["model-00001-of-00002.safetensors"]) {
      var file = try Data(contentsOf: $0.folder[shard])
      file.replaceSubrange(0..<8, with: [0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0])
      try $0.folder.write(shard, file)
    },
    header(
      "offsets beyond the file",
      #""\#(norm)":{"dtype":"F32","shape":[64],"data_offsets":[99999744,100000000]}"#),
    header(
      "offsets overlap",
      #""\#(norm)":{"dtype":"F32","shape":[64],"data_offsets":[0,256]}"#),
    header(
      "offsets backwards",
      #""\#(norm)":{"dtype":"F32","shape":[64],"data_offsets":[167168,166912]}"#),
    header(
      "offsets of another size",
      #""\#(norm)":{"dtype":"F32","shape":[65],"data_offsets":[166912,167168]}"#),
    header(
      "shape of another model",
      #""\#(norm)":{"dtype":"F32","shape":[32,2],"data_offsets":[166912,167168]}"#,
      ["[64]", "[32, 2]"]),
    header(
      "integers for weights",
      #""\#(norm)":{"dtype":"I32","shape":[64],"data_offsets":[166912,167168]}"#, ["I32"]),
    Self("tokenizer missing", ["teacher", "tokenizer.json"]) {
      for name in ["tokenizer.json", "vocab.json", "merges.txt"] {
        try FileManager.default.removeItem(at: $0.folder["teacher/\(name)"])
      }
    },
    Self("tokenizer is not JSON", ["teacher/tokenizer.json"]) {
      try $0.folder.write("teacher/tokenizer.json", Data("{".utf8))
    },
  ]
}

@Suite("Models that cannot be used")
struct BadModelTests {
  @Test("Every verb names what is wrong, and writes nothing", arguments: SpoiledModel.all)
  func spoiled(_ model: SpoiledModel) throws {
    let workplace = try Workplace()
    try model.spoil(workplace)
    let before = try workplace.content
    try workplace.run("info", "teacher").expectFailure(Command.unusableInput, model.words)
    try workplace.run("generate", "--model", "teacher", "--prompt", "hi")
      .expectFailure(Command.unusableInput, model.words)
    try workplace.run("convert", "--teacher", "teacher", "--output", "student")
      .expectFailure(Command.unusableInput, model.words)
    try workplace.distill("--steps", "1").expectFailure(Command.unusableInput, model.words)
    #expect(try workplace.content == before)
  }

  @Test("A hybrid needs its mixers' configuration whole")
  func mixers() throws {
    let workplace = try Workplace()
    _ = try workplace.run("convert", "--teacher", "teacher", "--output", "student")
      .requireSuccess()
    try workplace.edit("student/mamba_config.json", "n_layer", "layers")
    try workplace.run("info", "student")
      .expectFailure(Command.unusableInput, ["student/mamba_config.json", "n_layer"])
  }

  @Test("A student that is no hybrid, or another model's, is refused")
  func students() throws {
    let workplace = try Workplace()
    try workplace.distill("--student", "teacher", "--steps", "1", "--output", "next")
      .expectFailure(Command.unusableInput, ["teacher/config.json", "Mamba-2"])
    try workplace.distill("--student", "nowhere", "--steps", "1", "--output", "next")
      .expectFailure(Command.unusableInput, ["nowhere/config.json"])
  }
}
