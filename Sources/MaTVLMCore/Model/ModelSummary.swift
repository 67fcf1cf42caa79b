import MaTVLMTensor

/// What `matvlm info` says of a model.
public struct ModelSummary: Sendable, Codable, Hashable, CustomStringConvertible {
  public let architecture: String
  public let attentionLayers: [Int]
  public let mambaLayers: [Int]
  /// Every parameter that publishers count, computed with or not.
  public let parameters: Int
  public let decoderParameters: Int
  public let visionParameters: Int
  public let connectorParameters: Int
  /// What distillation trains: Mamba-2 mixers and the connector.
  public let trainableParameters: Int
  /// Parameters that no computation needs: last vision layers, norm and pooling head.
  public let uncomputedParameters: Int
  /// Of all tensors as stored.
  public let bytes: Int
  public let storedAs: String
  public let imageTokens: Int

  public init(of model: VisionLanguageModel) {
    let configuration = model.configuration
    let stored = model.origin?.checkpoint
    mambaLayers = model.decoder.mambaLayers
    let mamba = Set(mambaLayers)
    attentionLayers = (0..<configuration.text.layers).filter { !mamba.contains($0) }
    architecture =
      mamba.isEmpty
      ? "TinyLLaVA: SigLIP, connector, Phi-2" : "MaTVLM: SigLIP, connector, Phi-2 with Mamba-2"
    decoderParameters = model.decoder.parameterCount
    connectorParameters = model.connector.parameterCount
    trainableParameters = model.distilledParameters.reduce(0) { $0 + $1.shape.count }
    let uncomputed = stored?.unused ?? []
    uncomputedParameters = uncomputed.reduce(0) { $0 + $1.shape.count }
    visionParameters = model.tower.parameterCount + uncomputedParameters
    parameters = model.parameterCount + uncomputedParameters
    let type = model.origin?.storageType ?? .float32
    bytes =
      stored.map { checkpoint in
        checkpoint.names.reduce(0) { $0 + (checkpoint.tensor($1)?.byteCount ?? 0) }
      } ?? parameters * type.byteCount
    storedAs = model.quantization?.description ?? type.description
    imageTokens = configuration.vision.tokens
  }

  public var description: String {
    """
    architecture         \(architecture)
    attention layers     \(Self.list(attentionLayers))
    Mamba-2 layers       \(Self.list(mambaLayers))
    image tokens         \(imageTokens)
    parameters           \(grouped(parameters))
      decoder            \(grouped(decoderParameters))
      vision             \(grouped(visionParameters)), \
    of these \(grouped(uncomputedParameters)) never computed with
      connector          \(grouped(connectorParameters))
    trainable            \(grouped(trainableParameters))
    bytes                \(grouped(bytes)) as \(storedAs)
    """
  }

  private static func list(_ layers: [Int]) -> String {
    layers.isEmpty ? "none" : layers.map(String.init).joined(separator: " ")
  }
}

/// Digits in groups of three.
func grouped(_ number: Int) -> String {
  let digits = Array(String(number))
  return digits.enumerated().reduce(into: "") { text, digit in
    if digit.offset > 0, (digits.count - digit.offset) % 3 == 0 { text += "," }
    text.append(digit.element)
  }
}
