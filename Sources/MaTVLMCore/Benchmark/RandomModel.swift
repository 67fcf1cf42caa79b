import MaTVLMMamba
import MaTVLMTensor
import MaTVLMText

extension VisionLanguageModel {
  /// A model of these sizes with random weights and a tokenizer of bytes, to be measured.
  ///
  /// - Parameter matrices: the type of all matrices.
  /// - Throws: ``ConfigurationError`` when the sizes do not fit each other.
  public static func random(
    _ sizes: ModelSizes, matrices: DType, on device: Device = .cpu
  ) throws -> VisionLanguageModel {
    let tokenizer = try BytePairTrainer(vocabularySize: 257).train(on: [])
    return try .fresh(
      sizes.configuration(), tokenizer: tokenizer, seed: 1, matrices: matrices, on: device)
  }

  /// A hybrid to be measured: random Mamba-2 mixers replace the attention of `layers`, their
  /// matrices in the type that the model's own have. Everything else is shared, and so are mixers that are
  /// there already.
  ///
  /// - Throws: ``ConfigurationError`` when the configuration cannot describe the hybrid.
  /// - Precondition: every layer exists, and those that have mixers already are among them.
  public func withRandomMixers(at layers: [Int]) throws -> VisionLanguageModel {
    var hybrid = self
    let text = configuration.text
    let mamba = Mamba2Configuration(
      modelWidth: text.hiddenSize, heads: text.heads, keyValueHeads: text.keyValueHeads)
    let source = ParameterSource.fresh(
      seed: 1, matrices: decoder.blocks[0].mlp.fc1.weight.value.dtype, on: device)
    let known = decoder.mambaLayers
    hybrid.decoder = try decoder.replacingAttention(at: layers.filter { !known.contains($0) }) {
      layer, _, _ in
      try Mamba2Mixer(mamba, source["language_model"]["model"]["layers"][layer]["mamba"])
    }
    hybrid.configuration.mamba = try MambaPlacement(
      mamba, layers: layers, of: configuration.source.object("text_config"))
    return hybrid
  }
}
