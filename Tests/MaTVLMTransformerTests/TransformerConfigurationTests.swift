import MaTVLMTensor
import MaTVLMTestSupport
import MaTVLMTransformer
import Testing

@Suite("Configurations that are not computed are refused by their key")
struct TransformerConfigurationTests {
  private let whole: JSONValue

  init() throws { whole = try Golden.decode("teacher/config.json") }

  /// What reading says is wrong; nil when nothing is.
  private func problem(_ read: () throws -> Void) -> ConfigurationError? {
    do {
      try read()
      return nil
    } catch {
      return error as? ConfigurationError
    }
  }

  private static let phiProblems: [(String, JSONValue)] = [
    ("model_type", "llama"), ("hidden_act", "relu"), ("num_attention_heads", 5),
    ("num_key_value_heads", 3), ("partial_rotary_factor", 0.45), ("partial_rotary_factor", 1.5),
    ("qk_layernorm", .bool(true)), ("tie_word_embeddings", .bool(true)),
    ("rope_scaling", .object(["type": "linear"])), ("eos_token_id", 640), ("bos_token_id", -1),
    ("num_hidden_layers", 0), ("layer_norm_eps", .string("1e-5")), ("hidden_size", 64.5),
    ("vocab_size", .null),
  ]

  @Test("Phi", arguments: phiProblems.indices)
  func phi(_ index: Int) throws {
    let (key, value) = Self.phiProblems[index]
    let changed = ConfigurationObject(whole.setting(["text_config", key], to: value))
    let error = problem { _ = try PhiConfiguration(changed.object("text_config")) }
    guard case .wrong(_, let named, _, _) = error else {
      Issue.record("\(key) = \(value): \(String(describing: error))")
      return
    }
    #expect(named == "text_config.\(key)")
  }

  private static let visionProblems: [(String, JSONValue)] = [
    ("model_type", "clip_vision_model"), ("hidden_act", "quick_gelu"), ("num_attention_heads", 5),
    ("num_channels", 1), ("patch_size", 57), ("patch_size", 56), ("image_size", 0),
    ("layer_norm_eps", -1),
  ]

  @Test("SigLIP", arguments: visionProblems.indices)
  func vision(_ index: Int) throws {
    let (key, value) = Self.visionProblems[index]
    let changed = ConfigurationObject(whole.setting(["vision_config", key], to: value))
    let error = problem {
      _ = try VisionConfiguration(changed.object("vision_config"), model: changed)
    }
    guard case .wrong(_, let named, _, _) = error else {
      Issue.record("\(key) = \(value): \(String(describing: error))")
      return
    }
    #expect(named == "vision_config.\(key)")
  }

  @Test("which vision layer", arguments: [(-4, 0), (-2, 2), (0, 0), (3, 3), (-5, nil), (4, nil)])
  func featureLayer(_ layer: Int, _ used: Int?) throws {
    let changed = ConfigurationObject(whole.setting(["vision_feature_layer"], to: .integer(layer)))
    let read = { try VisionConfiguration(changed.object("vision_config"), model: changed) }
    if let used {
      #expect(try read().usedLayers == used)
    } else {
      #expect(throws: ConfigurationError.self) { try read() }
    }
  }

  @Test(
    "connector names",
    arguments: [
      ("mlp2x_gelu", 2), ("mlp1x_gelu", 1), ("mlp12x_gelu", 12), ("mlp0x_gelu", nil),
      ("mlp2x_relu", nil), ("linear", nil), ("xmlp2x_gelu", nil), ("mlp123x_gelu", nil),
    ])
  func connector(_ name: String, _ depth: Int?) throws {
    let changed = ConfigurationObject(whole.setting(["connector_type"], to: .string(name)))
    if let depth {
      #expect(try Connector.depth(changed) == depth)
    } else {
      #expect(throws: ConfigurationError.self) { try Connector.depth(changed) }
    }
  }

  @Test("as many key heads as query heads when the file says nothing, or null")
  func keyValueHeads() throws {
    for value in [nil, JSONValue.null] {
      let changed = ConfigurationObject(
        whole.setting(["text_config", "num_key_value_heads"], to: value))
      #expect(try PhiConfiguration(changed.object("text_config")).keyValueHeads == 4)
    }
  }
}
