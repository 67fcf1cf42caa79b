import Foundation
import MaTVLMImages
import MaTVLMMamba
import MaTVLMTensor
import MaTVLMTransformer

/// A TinyLLaVA `config.json` and, for a hybrid, its `mamba_config.json`; kept whole, so that keys
/// we do not know survive a save.
public struct ModelConfiguration: Sendable {
  public let source: ConfigurationObject
  public let text: PhiConfiguration
  public let vision: VisionConfiguration
  public let connectorDepth: Int
  public let aspectRatio: ImageAspectRatio
  /// Rows that a training sequence is cut to, image tokens counted in.
  public let maximumLength: Int
  /// The mixers of a hybrid; nil for a teacher.
  public internal(set) var mamba: MambaPlacement?

  /// - Throws: ``ConfigurationError`` naming the key that is missing or cannot be used.
  public init(_ source: ConfigurationObject, mamba: ConfigurationObject? = nil) throws {
    _ = try source.choice("model_type", ["tinyllava": ()])
    self.source = source
    text = try PhiConfiguration(source.object("text_config"))
    vision = try VisionConfiguration(source.object("vision_config"), model: source)
    connectorDepth = try Connector.depth(source)
    let ratios = ImageAspectRatio.allCases.map { ($0.rawValue, $0) }
    aspectRatio = try source.choice(
      "image_aspect_ratio", Dictionary(uniqueKeysWithValues: ratios))
    maximumLength = try source.integer("tokenizer_model_max_length", in: 1...(1 << 20))
    self.mamba = try mamba.map { try MambaPlacement($0, of: text) }
    for (key, own) in [("hidden_size", text.hiddenSize), ("vocab_size", text.vocabularySize)] {
      guard try source.integer(key) == own else {
        throw source.wrong(key, expected: "\(own), as in text_config")
      }
    }
    if source.contains("image_token_index") {
      _ = try source.integer("image_token_index", in: -200 ... -200)
    }
  }

  /// Reads the configuration of a model folder.
  /// - Throws: ``ConfigurationError``.
  public init(directory: URL) throws {
    let mixers = directory.appendingPathComponent("mamba_config.json")
    try self.init(
      ConfigurationObject(contentsOf: directory.appendingPathComponent("config.json")),
      mamba: FileManager.default.fileExists(atPath: mixers.path)
        ? ConfigurationObject(contentsOf: mixers) : nil)
  }
}

/// Which layers are Mamba-2, and of what kind: the authors' `mamba_config.json`.
public struct MambaPlacement: Sendable {
  public let configuration: Mamba2Configuration
  /// Sorted.
  public let layers: [Int]
  /// The file's content, unknown keys kept.
  let values: [String: JSONValue]

  /// - Throws: ``ConfigurationError``.
  init(_ source: ConfigurationObject, of text: PhiConfiguration) throws {
    configuration = try Mamba2Configuration(source)
    let count = text.layers
    guard configuration.modelWidth == text.hiddenSize else {
      throw source.wrong(
        "d_model", expected: "\(text.hiddenSize), as hidden_size of config.json")
    }
    guard try source.integer("n_layer", in: 1...4096) == count else {
      throw source.wrong("n_layer", expected: "\(count), as num_hidden_layers of config.json")
    }
    let attention = try source.integers("attn_layers")
    guard attention.allSatisfy((0..<count).contains), Set(attention).count == attention.count else {
      throw source.wrong("attn_layers", expected: "different layers in 0..<\(count)")
    }
    layers = (0..<count).filter { !Set(attention).contains($0) }
    values = source.values
  }

  /// The placement of a student made of `text`.
  init(_ configuration: Mamba2Configuration, layers: [Int], of text: ConfigurationObject) throws {
    let phi = try PhiConfiguration(text)
    self.configuration = configuration
    self.layers = layers.sorted()
    let attention = (0..<phi.layers).filter { !layers.contains($0) }
    values = [
      "d_model": .integer(configuration.modelWidth),
      "ssm_cfg": .object([
        "expand": .integer(1), "ngroups": .integer(configuration.heads),
        "d_state": .integer(configuration.stateWidth),
      ]),
      "layer_norm_eps": text.values["layer_norm_eps"] ?? .null,
      "vocab_size": .null,
      "d_inner": .integer(configuration.innerWidth),
      "d_xb": .integer(configuration.sharedWidth),
      "intermediate_size": .integer(phi.intermediateSize),
      "hidden_act": text.values["hidden_act"] ?? .null,
      "n_layer": .integer(phi.layers),
      "attn_layers": .array(attention.map(JSONValue.integer)),
      "resid_pdrop": text.values["resid_pdrop"] ?? .number(0.1),
      "bidirectional": .bool(false),
      "is_bias": .bool(configuration.hasProjectionBias),
    ]
  }
}
