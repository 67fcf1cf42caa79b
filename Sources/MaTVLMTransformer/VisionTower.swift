import MaTVLMTensor

/// SigLIP up to the layer whose output becomes image tokens (Zhai et al. 2023, arXiv:2303.15343);
/// later layers, the last norm and the pooling head are never read.
public struct VisionTower: Layer {
  public let configuration: VisionConfiguration
  /// The convolution over patches, as a product: [D, 3 · patch · patch].
  private let patchEmbedding: Linear
  private let positionEmbedding: Embedding
  private let blocks: [VisionBlock]

  /// Reads `embeddings` and the used layers of `encoder.layers`.
  /// - Throws: when a tensor is missing or has another shape.
  public init(_ source: ParameterSource, _ configuration: VisionConfiguration) throws {
    self.configuration = configuration
    let side = configuration.patchSize
    let embeddings = source["embeddings"]
    let patches = embeddings["patch_embedding"]
    patchEmbedding = Linear(
      weight: try patches.matrix(
        "weight", [configuration.hiddenSize, configuration.channels, side, side],
        .normal(deviation: 0.02)),
      bias: try patches.vector("bias", configuration.hiddenSize, .zeros))
    positionEmbedding = try Embedding(
      embeddings["position_embedding"], rows: configuration.positions,
      width: configuration.hiddenSize)
    let layers = source["encoder"]["layers"]
    blocks = try (0..<configuration.usedLayers).map { try VisionBlock(layers[$0], configuration) }
  }

  /// - Parameter patches: [pictures · positions, 3 · patch · patch], from ``ImagePatches``.
  /// - Returns: [pictures · tokens, D]
  public func callAsFunction(_ patches: Tensor) -> Tensor { self(patches, betweenBlocks: {}) }

  /// The same, so that it can be given up.
  /// - Parameter betweenBlocks: called before each block; what it throws ends the work.
  package func callAsFunction(
    _ patches: Tensor, betweenBlocks: () throws -> Void
  ) rethrows -> Tensor {
    let count = configuration.positions
    let pictures = Segments(repeating: count, count: patches.shape.rows / count)
    let positions = Tensor(indices: pictures.positions, on: patches.device)
    var x = patchEmbedding(patches) + positionEmbedding(positions)  // [pictures · positions, D]
    for block in blocks {
      try betweenBlocks()
      x = block(x, pictures)
    }
    guard configuration.selection == .patch else { return x }
    let kept = (0..<pictures.rows).filter { $0 % count != 0 }
    return gatherRows(x, Tensor(indices: kept, on: x.device))
  }

  public var parameters: [Parameter] {
    patchEmbedding.parameters + positionEmbedding.parameters + blocks.flatMap(\.parameters)
  }
}

extension VisionTower {
  /// Whether both are the same tower, parameter for parameter.
  package func isShared(with other: VisionTower) -> Bool {
    zip(parameters, other.parameters).allSatisfy { $0 === $1 }
  }
}
