import MaTVLMTensor

/// The numbers of a SigLIP tower, as `vision_config` of a TinyLLaVA `config.json` has them, and how
/// much of it is used.
public struct VisionConfiguration: Sendable, Hashable {
  /// Which positions become image tokens.
  public enum Selection: String, Sendable, Hashable, CaseIterable {
    /// All but the first. SigLIP has no class token, so the top-left patch is lost: 728 of 729.
    /// Released models were trained like that (specification A.3).
    case patch
    /// All.
    case classAndPatch = "cls_patch"
  }

  public let hiddenSize: Int
  public let intermediateSize: Int
  /// Layers of the whole tower.
  public let layers: Int
  /// Layers that are computed: the features are the output of the last of these.
  public let usedLayers: Int
  public let heads: Int
  public let channels: Int
  /// Pixels of a side.
  public let imageSize: Int
  /// Pixels of a patch's side.
  public let patchSize: Int
  public let activation: Activation
  public let layerNormEpsilon: Float
  public let selection: Selection

  /// Patches of a side; pixels beyond the last whole patch are never read.
  public var gridSize: Int { imageSize / patchSize }
  /// Learned positions, one for each patch.
  public var positions: Int { gridSize * gridSize }
  /// Image tokens that a picture becomes.
  public var tokens: Int { selection == .patch ? positions - 1 : positions }

  /// - Parameters:
  ///   - source: `vision_config`.
  ///   - model: the whole configuration, which has `vision_feature_layer` and
  ///     `vision_feature_select_strategy`.
  /// - Throws: ``ConfigurationError`` for a missing key, an unknown architecture, activation or
  ///   strategy.
  public init(_ source: ConfigurationObject, model: ConfigurationObject) throws {
    _ = try source.choice("model_type", ["siglip_vision_model": ()])
    hiddenSize = try source.integer("hidden_size")
    intermediateSize = try source.integer("intermediate_size")
    layers = try source.integer("num_hidden_layers", in: 1...4096)
    heads = try source.integer("num_attention_heads", in: 1...4096)
    channels = try source.integer("num_channels", in: 3...3)
    imageSize = try source.integer("image_size", in: 1...4096)
    patchSize = try source.integer("patch_size", in: 1...imageSize)
    activation = try source.choice("hidden_act", Activation.byName)
    layerNormEpsilon = Float(try source.number("layer_norm_eps", in: 0...1))
    guard hiddenSize % heads == 0 else {
      throw source.wrong("num_attention_heads", expected: "a divisor of hidden_size \(hiddenSize)")
    }
    let names = Dictionary(uniqueKeysWithValues: Selection.allCases.map { ($0.rawValue, $0) })
    selection = try model.choice("vision_feature_select_strategy", names)
    // Entry 0 of the states is what goes into layer 0, entry k what comes out of layer k − 1.
    let entry = try model.integer("vision_feature_layer", in: -layers - 1...layers)
    usedLayers = entry < 0 ? layers + 1 + entry : entry
    guard selection == .classAndPatch || positions > 1 else {
      throw source.wrong("patch_size", expected: "a size that leaves more than one patch")
    }
  }
}
