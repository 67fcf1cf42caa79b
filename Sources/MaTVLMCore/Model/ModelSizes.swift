import MaTVLMTensor

/// The sizes of a TinyLLaVA model that is made here and not read from a folder.
public struct ModelSizes: Sendable, Hashable {
  public var vocabulary = 51200
  public var hidden = 2560
  public var intermediate = 10240
  public var layers = 32
  public var heads = 32
  public var rotaryFactor = 0.4
  public var endToken = 50256
  public var maximumLength = 3072
  public var vision = Vision()

  public struct Vision: Sendable, Hashable {
    public var hidden = 1152
    public var intermediate = 4304
    public var layers = 27
    public var heads = 16
    public var image = 384
    public var patch = 14

    public init() {}
  }

  /// TinyLLaVA-Phi-2-SigLIP-3.1B.
  public init() {}

  /// A `config.json` of these sizes, with every key that the authors' files have.
  /// - Throws: ``ConfigurationError`` when the sizes do not fit each other.
  public func configuration() throws -> ModelConfiguration {
    try ModelConfiguration(ConfigurationObject(file: "config.json", values: values))
  }

  private var values: [String: JSONValue] {
    [
      "model_type": "tinyllava",
      "architectures": .array(["TinyLlavaForConditionalGeneration"]),
      "llm_model_name_or_path": "microsoft/phi-2",
      "tokenizer_name_or_path": "microsoft/phi-2",
      "vision_model_name_or_path": "google/siglip-so400m-patch14-384",
      "vision_model_name_or_path2": "",
      "connector_type": "mlp2x_gelu",
      "hidden_size": .integer(hidden),
      "vocab_size": .integer(vocabulary),
      "vision_hidden_size": .integer(vision.hidden),
      "ignore_index": -100,
      "image_token_index": -200,
      "pad_token": "<|endoftext|>",
      "pad_token_id": .integer(endToken),
      "tokenizer_padding_side": "right",
      "tokenizer_model_max_length": .integer(maximumLength),
      "tokenizer_use_fast": .bool(false),
      "vision_feature_layer": -2,
      "vision_feature_select_strategy": "patch",
      "image_aspect_ratio": "square",
      "use_cache": .bool(true),
      "text_config": .object(text),
      "vision_config": .object(tower),
    ]
  }

  private var text: [String: JSONValue] {
    [
      "model_type": "phi",
      "vocab_size": .integer(vocabulary),
      "hidden_size": .integer(hidden),
      "intermediate_size": .integer(intermediate),
      "num_hidden_layers": .integer(layers),
      "num_attention_heads": .integer(heads),
      "num_key_value_heads": .integer(heads),
      "hidden_act": "gelu_new",
      "layer_norm_eps": 1e-5,
      "partial_rotary_factor": .number(rotaryFactor),
      "rope_theta": 10000.0,
      "rope_scaling": .null,
      "max_position_embeddings": .integer(maximumLength),
      "resid_pdrop": 0.0,
      "embd_pdrop": 0.0,
      "attention_dropout": 0.0,
      "qk_layernorm": .bool(false),
      "tie_word_embeddings": .bool(false),
      "bos_token_id": .integer(endToken),
      "eos_token_id": .integer(endToken),
      "initializer_range": 0.02,
    ]
  }

  private var tower: [String: JSONValue] {
    [
      "model_type": "siglip_vision_model",
      "model_name_or_path": "google/siglip-so400m-patch14-384",
      "model_name_or_path2": "",
      "hidden_size": .integer(vision.hidden),
      "intermediate_size": .integer(vision.intermediate),
      "num_hidden_layers": .integer(vision.layers),
      "num_attention_heads": .integer(vision.heads),
      "num_channels": 3,
      "image_size": .integer(vision.image),
      "patch_size": .integer(vision.patch),
      "hidden_act": "gelu_pytorch_tanh",
      "layer_norm_eps": 1e-6,
      "attention_dropout": 0.0,
    ]
  }
}
