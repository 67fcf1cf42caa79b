import MaTVLMTensor

/// The numbers of a Phi-2 decoder, as `text_config` of a TinyLLaVA `config.json` has them.
public struct PhiConfiguration: Sendable, Hashable {
  public let vocabularySize: Int
  /// Model width D.
  public let hiddenSize: Int
  /// Width F of the block's MLP.
  public let intermediateSize: Int
  public let layers: Int
  public let heads: Int
  public let keyValueHeads: Int
  public let activation: Activation
  public let layerNormEpsilon: Float
  /// Columns of each head that are rotated by position.
  public let rotaryWidth: Int
  public let ropeTheta: Double
  public let beginToken: Int
  public let endToken: Int

  /// Columns of a head P.
  public var headWidth: Int { hiddenSize / heads }

  /// - Throws: ``ConfigurationError`` for a missing key, an unknown architecture or activation, and
  ///   for variants of Phi that this decoder does not compute.
  public init(_ source: ConfigurationObject) throws {
    _ = try source.choice("model_type", ["phi": ()])
    vocabularySize = try source.integer("vocab_size")
    hiddenSize = try source.integer("hidden_size")
    intermediateSize = try source.integer("intermediate_size")
    layers = try source.integer("num_hidden_layers", in: 1...4096)
    heads = try source.integer("num_attention_heads", in: 1...4096)
    // Hugging Face writes null, or nothing, for "as many as query heads".
    keyValueHeads =
      source.contains("num_key_value_heads")
      ? try source.integer("num_key_value_heads", in: 1...4096) : heads
    activation = try source.choice("hidden_act", Activation.byName)
    layerNormEpsilon = Float(try source.number("layer_norm_eps", in: 0...1))
    ropeTheta = try source.number("rope_theta", in: 1...1e12)
    beginToken = try source.integer("bos_token_id", in: 0...vocabularySize - 1)
    endToken = try source.integer("eos_token_id", in: 0...vocabularySize - 1)
    guard hiddenSize % heads == 0 else {
      throw source.wrong("num_attention_heads", expected: "a divisor of hidden_size \(hiddenSize)")
    }
    guard heads % keyValueHeads == 0 else {
      throw source.wrong("num_key_value_heads", expected: "a divisor of \(heads) heads")
    }
    let factor = try source.number("partial_rotary_factor", in: 0...1)
    rotaryWidth = Int(factor * Double(hiddenSize / heads))
    guard rotaryWidth % 2 == 0 else {
      throw source.wrong("partial_rotary_factor", expected: "a factor that gives an even width")
    }
    for key in ["qk_layernorm", "tie_word_embeddings"] where source.contains(key) {
      guard try !source.bool(key) else { throw source.wrong(key, expected: "false") }
    }
    if source.contains("rope_scaling") {
      throw source.wrong("rope_scaling", expected: "null: scaled positions are not computed")
    }
  }
}

extension Activation {
  /// The names of Hugging Face configurations.
  package static let byName: [String: Activation] = [
    "gelu": .gelu, "gelu_new": .geluTanh, "gelu_pytorch_tanh": .geluTanh, "silu": .silu,
  ]
}
