import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Configurations that cannot be used name the key")
struct ConfigurationErrorTests {
  private let model: JSONValue
  private let mixers: JSONValue

  init() throws {
    model = try Golden.decode("student/config.json")
    mixers = try Golden.decode("student/mamba_config.json")
  }

  private func read(_ model: JSONValue, _ mixers: JSONValue? = nil) throws {
    _ = try ModelConfiguration(
      ConfigurationObject(model),
      mamba: mixers.map { ConfigurationObject($0, file: "mamba_config.json") })
  }

  /// Keys that decide what is computed. Hugging Face leaves `num_key_value_heads`, `qk_layernorm`,
  /// `tie_word_embeddings` and `rope_scaling` out when they say what they always say.
  private static let required: Set<String> = [
    "model_type", "connector_type", "hidden_size", "vocab_size", "image_aspect_ratio",
    "tokenizer_model_max_length", "vision_feature_layer", "vision_feature_select_strategy",
    "text_config", "text_config.model_type", "text_config.vocab_size", "text_config.hidden_size",
    "text_config.intermediate_size", "text_config.num_hidden_layers",
    "text_config.num_attention_heads", "text_config.hidden_act", "text_config.layer_norm_eps",
    "text_config.partial_rotary_factor", "text_config.rope_theta", "text_config.bos_token_id",
    "text_config.eos_token_id", "vision_config", "vision_config.model_type",
    "vision_config.hidden_size", "vision_config.intermediate_size",
    "vision_config.num_hidden_layers", "vision_config.num_attention_heads",
    "vision_config.num_channels", "vision_config.image_size", "vision_config.patch_size",
    "vision_config.hidden_act", "vision_config.layer_norm_eps",
  ]
  private static let requiredOfMixers: Set<String> = [
    "d_model", "d_inner", "d_xb", "ssm_cfg", "ssm_cfg.ngroups", "ssm_cfg.d_state", "n_layer",
    "attn_layers",
  ]

  @Test("every key of config.json, taken away")
  func missing() throws {
    try read(model, mixers)
    #expect(Self.required.isSubset(of: model.paths.map { $0.joined(separator: ".") }))
    for path in model.paths {
      let key = path.joined(separator: ".")
      let changed = model.setting(path, to: nil)
      if Self.required.contains(key) {
        #expect(throws: ConfigurationError.missing(file: "config.json", key: key)) {
          try read(changed)
        }
      } else {
        #expect(throws: Never.self, "\(key)") { try read(changed) }
      }
    }
  }

  @Test("every key of mamba_config.json, taken away")
  func missingOfMixers() throws {
    #expect(Self.requiredOfMixers.isSubset(of: mixers.paths.map { $0.joined(separator: ".") }))
    for path in mixers.paths {
      let key = path.joined(separator: ".")
      let changed = mixers.setting(path, to: nil)
      if Self.requiredOfMixers.contains(key) {
        #expect(throws: ConfigurationError.missing(file: "mamba_config.json", key: key)) {
          try read(model, changed)
        }
      } else {
        #expect(throws: Never.self, "\(key)") { try read(model, changed) }
      }
    }
  }

  /// The key that reading finds wrong.
  private func wrongKey(_ model: JSONValue, _ mixers: JSONValue? = nil) -> String? {
    do {
      try read(model, mixers)
      return nil
    } catch ConfigurationError.wrong(_, let key, _, _) {
      return key
    } catch {
      return "\(error)"
    }
  }

  private static let unusableValues: [([String], JSONValue)] = [
    (["model_type"], "llava"), (["text_config", "model_type"], "llama"),
    (["vision_config", "model_type"], "clip_vision_model"), (["connector_type"], "resampler"),
    (["text_config", "hidden_act"], "relu"), (["vision_config", "hidden_act"], "quick_gelu"),
    (["image_aspect_ratio"], "anyres"), (["vision_feature_select_strategy"], "cls"),
    (["hidden_size"], 128), (["vocab_size"], 51200), (["image_token_index"], -100),
    (["tokenizer_model_max_length"], 0), (["tokenizer_model_max_length"], .number(1e30)),
    (["text_config"], "phi"), (["text_config", "num_hidden_layers"], -4),
    (["text_config", "vocab_size"], 1e300), (["vision_feature_layer"], "last"),
  ]

  @Test("values that are not computed", arguments: unusableValues.indices)
  func values(_ index: Int) {
    let (path, value) = Self.unusableValues[index]
    #expect(wrongKey(model.setting(path, to: value)) == path.joined(separator: "."))
  }

  private static let contradictoryMixers: [(String, JSONValue)] = [
    ("d_model", 32), ("n_layer", 5), ("attn_layers", .array([1, 4])),
    ("attn_layers", .array([1, 1])), ("attn_layers", .array([-1])), ("attn_layers", .array(["1"])),
    ("attn_layers", 3), ("d_inner", 32), ("bidirectional", .bool(true)),
  ]

  @Test("mixers that contradict the decoder, or themselves", arguments: contradictoryMixers.indices)
  func contradictions(_ index: Int) {
    let (key, value) = Self.contradictoryMixers[index]
    #expect(wrongKey(model, mixers.setting([key], to: value)) == key)
  }

  @Test("no mixers in a hybrid's file is a model of attention")
  func noMixers() throws {
    let changed = mixers.setting(["attn_layers"], to: .array([0, 1, 2, 3]))
    let configuration = try ModelConfiguration(
      ConfigurationObject(model), mamba: ConfigurationObject(changed))
    #expect(configuration.mamba?.layers == [])
  }
}
