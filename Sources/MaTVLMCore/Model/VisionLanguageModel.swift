import MaTVLMImages
import MaTVLMMamba
import MaTVLMTensor
import MaTVLMText
import MaTVLMTransformer

/// A TinyLLaVA model: a picture becomes rows of a decoder that reads them before, or between, text.
/// The decoder's layers are attention, as published, or attention and Mamba-2.
public struct VisionLanguageModel: Layer {
  public internal(set) var configuration: ModelConfiguration
  public let tokenizer: Tokenizer
  public let tower: VisionTower
  public internal(set) var connector: Connector
  public internal(set) var decoder: HybridDecoder
  /// The folder that the model came from: its tokenizer and the tensors that no computation needs
  /// are saved along with a student. nil for a model that was never on disk.
  let origin: ModelOrigin?

  /// Builds a model of what `source` has.
  /// - Throws: when a tensor is missing or has another shape.
  init(
    _ configuration: ModelConfiguration, _ source: ParameterSource, tokenizer: Tokenizer,
    origin: ModelOrigin? = nil
  ) throws {
    self.configuration = configuration
    self.tokenizer = tokenizer
    self.origin = origin
    tower = try VisionTower(
      source["vision_tower"]["_vision_tower"]["vision_model"], configuration.vision)
    connector = try Connector(
      source["connector"]["_connector"], inputs: configuration.vision.hiddenSize,
      outputs: configuration.text.hiddenSize, depth: configuration.connectorDepth)
    decoder = try HybridDecoder(
      source["language_model"], configuration.text, mamba: configuration.mamba?.configuration,
      mambaLayers: Set(configuration.mamba?.layers ?? []))
  }

  /// A model with random weights and float32 matrices, to be trained.
  ///
  /// - Parameter seed: draws every weight; the same seed gives the same model on every platform.
  /// - Throws: never for a valid configuration.
  public static func fresh(
    _ configuration: ModelConfiguration, tokenizer: Tokenizer, seed: UInt64,
    matrices: DType = .float32, on device: Device = .cpu
  ) throws -> VisionLanguageModel {
    try VisionLanguageModel(
      configuration, .fresh(seed: seed, matrices: matrices, on: device), tokenizer: tokenizer)
  }

  /// How keys and values are kept while answers are made; nil: as the device's activations. In
  /// bfloat16 they take half the memory, and answers may differ.
  /// - Precondition: it is one of the device's ``Device/cacheTypes``.
  public var cacheType: DType? {
    get { decoder.cacheType }
    set {
      require(
        newValue.map(device.cacheTypes.contains) ?? true,
        "cacheType: \(newValue!) on \(device), which has \(device.cacheTypes)")
      decoder.cacheType = newValue
    }
  }

  public var device: Device { decoder.embedding.weight.value.device }

  /// Pictures, resized as the model takes them, to rows of the decoder.
  /// - Returns: [pictures · tokens, D]
  public func imageRows(_ pictures: [RGBImage]) -> Tensor { connector(features(pictures)) }

  /// The same, so that it can be given up.
  /// - Parameter betweenBlocks: called before each block of the tower; what it throws ends the work.
  func imageRows(
    _ pictures: [RGBImage], betweenBlocks: () throws -> Void
  ) rethrows -> Tensor {
    connector(try tower(patches(pictures), betweenBlocks: betweenBlocks))
  }

  /// What the vision tower makes of pictures: the connector's input [pictures · tokens, vision D].
  func features(_ pictures: [RGBImage]) -> Tensor { tower(patches(pictures)) }

  private func patches(_ pictures: [RGBImage]) -> Tensor {
    ImagePatches.rows(of: pictures.map(prepared), configuration.vision, on: device)
  }

  /// A picture as the vision tower takes it; one that is so already stays as it is.
  func prepared(_ picture: RGBImage) -> RGBImage {
    picture.prepared(
      size: configuration.vision.imageSize, aspectRatio: configuration.aspectRatio)
  }

  /// Whole sequences of token ids, −200 standing for a picture, as logits of every row.
  ///
  /// - Parameters:
  ///   - sequences: ids of each sequence.
  ///   - pictures: as many as there are placeholders, in their order.
  /// - Returns: [T, V] for all rows of all sequences end to end.
  /// - Precondition: placeholders and pictures match, and ids are in the vocabulary.
  public func logits(_ sequences: [[Int]], pictures: [RGBImage] = []) -> Tensor {
    let spliced = splice(sequences)
    require(
      spliced.pictures == pictures.count,
      "logits: \(pictures.count) pictures for \(spliced.pictures) placeholders")
    let x = spliced.rows(
      decoder.embedding, images: pictures.isEmpty ? nil : imageRows(pictures))
    return decoder.head(decoder(x, SequenceLayout(spliced.segments, on: device)))
  }

  func splice(_ sequences: [[Int]], labels: [[Int]]? = nil, maximumLength: Int? = nil)
    -> SplicedSequences
  {
    SplicedSequences(
      sequences, labels: labels, tokensPerPicture: configuration.vision.tokens,
      maximumLength: maximumLength)
  }

  public var parameters: [Parameter] {
    decoder.parameters + tower.parameters + connector.parameters
  }
}
