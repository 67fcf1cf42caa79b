import Foundation
import MaTVLMTensor
import MaTVLMText

/// What a model on disk has beyond what is computed with.
struct ModelOrigin: Sendable {
  let directory: URL
  let checkpoint: Checkpoint
  /// The tokenizer's files by name: when the model is saved, the directory may be gone or another's.
  let tokenizer: [String: Data]

  /// How the folder's matrices are stored; new tensors are stored alike.
  var storageType: DType {
    ["embed_tokens", "final_layernorm"].lazy.compactMap {
      checkpoint.tensor("language_model.model.\($0).weight")?.type.parameterType
    }.first ?? .float32
  }

  /// Tensors that publishers save and nothing here computes with: vision layers after the one whose
  /// output is used, the tower's last norm and its pooling head.
  static func isUncomputed(_ name: String, _ configuration: ModelConfiguration) -> Bool {
    let tower = "vision_tower._vision_tower.vision_model."
    guard name.hasPrefix(tower) else { return false }
    let rest = name.dropFirst(tower.count)
    if rest.hasPrefix("post_layernorm.") || rest.hasPrefix("head.") { return true }
    guard rest.hasPrefix("encoder.layers."),
      let layer = Int(rest.dropFirst("encoder.layers.".count).prefix { $0 != "." })
    else { return false }
    return (configuration.vision.usedLayers..<configuration.vision.layers).contains(layer)
  }
}

extension VisionLanguageModel {
  /// Reads a model folder in the authors' layout: `config.json`, for a hybrid `mamba_config.json`,
  /// safetensors, tokenizer files. Matrices are used where they lie in the mapped files, unless they
  /// are quantised.
  ///
  /// - Parameter quantization: what every matrix of weights is rounded to; nil: held as stored.
  /// - Throws: when a file is missing or damaged, a key cannot be used, or a tensor is missing,
  ///   unexpected or of another shape; nothing is half loaded. ``QuantizationError`` when the folder
  ///   is quantised otherwise, or the device has no products with quantised weights.
  public static func load(
    _ directory: URL, quantization: Quantization? = nil, on device: Device = .cpu
  ) throws -> VisionLanguageModel {
    let configuration = try ModelConfiguration(directory: directory)
    let format = try weightFormat(configuration, wanted: quantization, on: device)
    let tokenizer = try Tokenizer.load(directory)
    let checkpoint = try Checkpoint.open(directory)
    let model = try VisionLanguageModel(
      configuration, checkpoint.source(format, on: device), tokenizer: tokenizer,
      origin: ModelOrigin(
        directory: directory, checkpoint: checkpoint,
        tokenizer: Tokenizer.contents(ofFilesIn: directory)))
    try checkpoint.requireNothingUnexpected { ModelOrigin.isUncomputed($0, configuration) }
    try model.checkTokenizer(directory)
    // Quantising needs matrices as they were, which answers do not.
    device.backend.releaseUnusedMemory(beside: model.parameters.map(\.value))
    return model
  }

  private static func weightFormat(
    _ configuration: ModelConfiguration, wanted: Quantization?, on device: Device
  ) throws -> WeightFormat {
    let file = configuration.source.file
    let stored = try Quantization(configuration.source)
    if let stored, let wanted, stored != wanted {
      throw QuantizationError(
        description: "\(file): the weights are \(stored) already, not \(wanted); "
          + "take the folder that they were made of")
    }
    guard stored == nil && wanted == nil || device.backend.holdsQuantizedWeights else {
      throw QuantizationError(
        description: "\(file): \(device) has no products with quantised weights yet; "
          + "use the CPU, or weights in floating point")
    }
    return WeightFormat(stored: stored, wanted: wanted)
  }

  private func checkTokenizer(_ directory: URL) throws {
    let vocabulary = configuration.text.vocabularySize
    guard tokenizer.vocabularySize <= vocabulary else {
      throw ConfigurationError.wrong(
        file: configuration.source.file, key: "vocab_size",
        expected: "at least the \(tokenizer.vocabularySize) tokens of the tokenizer",
        found: "\(vocabulary)")
    }
  }

  /// Writes a model folder in the authors' layout, whole or not at all.
  ///
  /// - Parameters:
  ///   - type: how tensors are stored; nil: as the folder that the model came from, or float32.
  ///   - replacing: whether an existing folder may be replaced.
  ///   - extra: writes more files into the folder before it gets its name.
  /// - Throws: when the folder cannot be written; an existing one is then left as it was.
  public func save(
    to directory: URL, as type: DType? = nil, replacing: @escaping (URL) -> Bool = { _ in false },
    extra: (URL) throws -> Void = { _ in }
  ) throws {
    try AtomicFolder.write(to: directory, replacing: replacing) { folder in
      try write(into: folder, as: type ?? origin?.storageType ?? .float32)
      try extra(folder)
    }
  }

  /// Writes the model's files into an existing folder.
  func write(into folder: URL, as type: DType) throws {
    try device.check()
    try savedConfiguration(as: type).text()
      .write(to: folder.appendingPathComponent("config.json"))
    if let mamba = configuration.mamba {
      try JSONValue.object(mamba.values).text()
        .write(to: folder.appendingPathComponent("mamba_config.json"))
    }
    try writeTokenizer(into: folder)
    try Checkpoint.write(tensors(as: type), to: folder)
    // A device that failed meanwhile gave no numbers.
    try device.check()
  }

  private func writeTokenizer(into folder: URL) throws {
    guard let origin else { return try tokenizer.write(to: folder) }
    for (name, contents) in origin.tokenizer {
      try contents.write(to: folder.appendingPathComponent(name))
    }
  }

  /// Everything that is computed with, then what is only carried along.
  private func tensors(as type: DType) -> [CheckpointTensor] {
    let computed = parameters.flatMap { CheckpointTensor.parts(of: $0, as: type) }
    guard let origin else { return computed }
    let carried = origin.checkpoint.unused.filter {
      ModelOrigin.isUncomputed($0.name, configuration)
    }
    return computed + carried
  }

  private func savedConfiguration(as type: DType) -> JSONValue {
    var values = configuration.source.values
    values["torch_dtype"] = .string(type.description)
    if let quantization { values[Quantization.key] = quantization.json }
    if configuration.mamba != nil, values["hybrid_model_name_or_path"] == nil {
      values["hybrid_model_name_or_path"] = .null
    }
    return .object(values)
  }
}
