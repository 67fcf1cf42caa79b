import MaTVLMDistillation
import MaTVLMMamba
import MaTVLMTensor
import MaTVLMTransformer

/// A Phi-2 decoder whose blocks mix with attention or with Mamba-2. The teacher is the case where
/// every mixer is attention; a student shares all its other parameters.
public struct HybridDecoder: Layer {
  public let configuration: PhiConfiguration
  public let embedding: Embedding
  public private(set) var blocks: [DecoderBlock]
  public let finalNorm: LayerNorm
  public let head: Linear
  /// How keys and values of sequences that go on are kept; nil: as the device's activations. States
  /// that were made before stay as they are.
  public var cacheType: DType?

  /// Reads `model` and `lm_head`.
  ///
  /// - Parameters:
  ///   - source: `language_model` of a checkpoint.
  ///   - mamba: the mixers of `mambaLayers`.
  ///   - mambaLayers: which blocks have a Mamba-2 mixer in place of attention.
  /// - Throws: when a tensor is missing or has another shape.
  public init(
    _ source: ParameterSource, _ configuration: PhiConfiguration,
    mamba: Mamba2Configuration? = nil, mambaLayers: Set<Int> = []
  ) throws {
    self.configuration = configuration
    let model = source["model"]
    let width = configuration.hiddenSize
    embedding = try Embedding(
      model["embed_tokens"], rows: configuration.vocabularySize, width: width)
    let rotary = RotaryEmbedding(
      width: configuration.rotaryWidth, base: configuration.ropeTheta, on: source.device)
    blocks = try (0..<configuration.layers).map { index in
      let layer = model["layers"][index]
      let mixer: Mixer =
        if let mamba, mambaLayers.contains(index) {
          .mamba(try Mamba2Mixer(mamba, layer["mamba"]))
        } else {
          .attention(try PhiAttention(layer["self_attn"], configuration, rotary: rotary))
        }
      return DecoderBlock(
        norm: try LayerNorm(
          layer["input_layernorm"], width: width, epsilon: configuration.layerNormEpsilon),
        mixer: mixer,
        mlp: try MLP(
          layer["mlp"], width: width, intermediate: configuration.intermediateSize,
          activation: configuration.activation))
    }
    finalNorm = try LayerNorm(
      model["final_layernorm"], width: width, epsilon: configuration.layerNormEpsilon)
    head = try Linear(source["lm_head"], inputs: width, outputs: configuration.vocabularySize)
  }

  /// A decoder that shares everything but the mixers of `layers`, which are seeded from the
  /// attention that they replace (arXiv:2503.13440, section 3.2).
  ///
  /// - Parameters:
  ///   - layers: blocks that still have attention.
  ///   - teacher: whose attention mixers are seeded from; nil: this decoder's own.
  ///   - seed: draws what the seeding does not copy; each layer draws its own.
  /// - Precondition: every layer exists and has attention, the teacher's too.
  public func replacingAttention(
    at layers: [Int], with mamba: Mamba2Configuration, _ seeding: AttentionSeeding,
    from teacher: HybridDecoder? = nil, seed: UInt64
  ) -> HybridDecoder {
    replacingAttention(at: layers, from: teacher) { _, path, attention in
      Mamba2Mixer(mamba, named: path, seededFrom: attention, seeding, seed: seed)
    }
  }

  /// A decoder that shares everything but the mixers of `layers`.
  ///
  /// - Parameters:
  ///   - teacher: whose attention mixers are made from; nil: this decoder's own.
  ///   - mixer: makes each, of the block's number, the mixer's path in a checkpoint, and attention.
  func replacingAttention(
    at layers: [Int], from teacher: HybridDecoder? = nil,
    by mixer: (Int, String, AttentionProjections) throws -> Mamba2Mixer
  ) rethrows -> HybridDecoder {
    var student = self
    let source = teacher ?? self
    for layer in layers {
      guard blocks.indices.contains(layer), case .attention = blocks[layer].mixer,
        case .attention(let attention) = source.blocks[layer].mixer
      else { fatalError("replacingAttention: layer \(layer) has no attention") }
      let projections = AttentionProjections(
        query: attention.query, key: attention.key, value: attention.value,
        output: attention.output)
      let path = "language_model.model.layers.\(layer).mamba"
      student.blocks[layer].mixer = .mamba(try mixer(layer, path, projections))
    }
    return student
  }

  /// Which blocks mix with Mamba-2.
  public var mambaLayers: [Int] {
    blocks.indices.filter { if case .mamba = blocks[$0].mixer { true } else { false } }
  }

  // MARK: Whole sequences

  /// x [T, D], embedded → final rows [T, D], normed and ready for the head.
  ///
  /// - Parameter recompute: keeps only the input of each block for the gradient.
  public func callAsFunction(_ x: Tensor, _ layout: SequenceLayout, recompute: Bool = false)
    -> Tensor
  {
    self(x, layout, recompute: recompute, dropout: nil)
  }

  /// The same.
  /// - Parameters:
  ///   - start: the block that x goes into.
  ///   - dropout: of what the blocks add to the stream; nil: none.
  func callAsFunction(
    _ x: Tensor, _ layout: SequenceLayout, from start: Int = 0, recompute: Bool,
    dropout: BlockDropout? = nil
  ) -> Tensor {
    finalNorm(
      blocks.indices.dropFirst(start).reduce(x) { x, layer in
        let block = blocks[layer]
        @Sendable func run(_ x: Tensor) -> Tensor {
          dropout.map { block(x, layout, $0, layer: layer) } ?? block(x, layout)
        }
        return recompute ? recomputing(x, block.parameters, run) : run(x)
      })
  }

  /// What a layer-wise loss needs of one block: the normed rows, and what the loss compares with.
  struct MixerRecord: Sendable {
    let input: Tensor
    let target: Tensor
    /// The block's output without what the mixer adds to it; of the first recorded block only.
    let rest: Tensor?
  }

  /// What layer-wise losses compare with.
  enum MixerTarget: Sendable {
    /// What the mixer adds to the stream.
    case output
    /// What the mixer's output projection takes.
    case heads
    /// What mixer and MLP add to the stream.
    case branches
  }

  /// Final rows as above, and a record of the mixers of `layers`.
  func recordingMixers(
    _ x: Tensor, _ layout: SequenceLayout, of layers: Set<Int>, _ target: MixerTarget
  ) -> (rows: Tensor, mixers: [Int: MixerRecord]) {
    var x = x
    var records: [Int: MixerRecord] = [:]
    for (index, block) in blocks.enumerated() {
      guard layers.contains(index) else {
        x = block(x, layout)
        continue
      }
      let n = block.norm(x)
      let heads = block.mixer.mix(linear(n, block.mixer.inputProjections), layout)
      let mixed = linear(heads, [block.mixer.outputProjection])[0]
      let hidden = block.mlp(n)
      let compared =
        switch target {
        case .output: mixed
        case .heads: heads
        case .branches: mixed + hidden
        }
      let rest = x + hidden
      records[index] = MixerRecord(
        input: n, target: compared, rest: records.isEmpty ? rest : nil)
      x = rest + mixed
    }
    return (finalNorm(x), records)
  }

  /// Whether both are the same frozen model, parameter for parameter, up to the mixer of `layer`, with
  /// the MLP beside it.
  func isShared(with other: HybridDecoder, toMixer layer: Int) -> Bool {
    func before(_ decoder: HybridDecoder) -> [Parameter] {
      let block = decoder.blocks[layer]
      return decoder.embedding.parameters + decoder.blocks[..<layer].flatMap(\.parameters)
        + block.norm.parameters + block.mlp.parameters
    }
    let (own, others) = (before(self), before(other))
    return own.count == others.count
      && zip(own, others).allSatisfy { $0 === $1 && !$0.isTrainable }
  }

  /// Final rows with the matrix that makes logits of them.
  func vocabularyHead(_ rows: Tensor) -> VocabularyHead {
    VocabularyHead(rows: rows, weight: head.weight.value, bias: head.bias?.value)
  }

  // MARK: Sequences that go on

  /// The state of one sequence before its first row.
  /// - Parameter capacity: rows that fit before attention layers have to make room.
  public func makeState(capacity: Int = 256) -> DecodingState {
    makeState(capacity: capacity, zeroRows: 0)
  }

  /// Bytes of a state with room for `capacity` rows, without making one.
  package func stateByteCount(capacity: Int) -> Int {
    let (none, one) = (makeState(capacity: 0).byteCount, makeState(capacity: 1).byteCount)
    return none + capacity * (one - none)
  }

  /// The state after `zeroRows` rows whose keys and values are all zero, for measurements.
  package func makeState(capacity: Int, zeroRows: Int) -> DecodingState {
    let device = embedding.weight.value.device
    let mixers = blocks.map {
      $0.mixer.makeState(capacity: capacity, zeroRows: zeroRows, cacheType, on: device)
    }
    return DecodingState(mixers: mixers, position: zeroRows)
  }

  /// x [T, D], embedded rows that follow what the states have seen → final rows [T, D].
  ///
  /// - Parameters:
  ///   - segments: rows of each sequence.
  ///   - states: one for each segment, moved on.
  public func callAsFunction(
    _ x: Tensor, _ segments: Segments, states: inout [DecodingState]
  ) -> Tensor {
    require(
      states.count == segments.count, "decoding: \(states.count) states, \(segments.count) segments"
    )
    let layout = SequenceLayout(segments, past: states.map(\.position), on: x.device)
    return self(x, layout, states: &states)
  }

  /// The same with a layout that is at hand.
  func callAsFunction(
    _ x: Tensor, _ layout: SequenceLayout, states: inout [DecodingState]
  ) -> Tensor {
    self(x, layout, states: &states, betweenBlocks: {})
  }

  /// The same, so that it can be given up.
  /// - Parameter betweenBlocks: called before each block; what it throws ends the work, and the
  ///   states are of no use then.
  func callAsFunction(
    _ x: Tensor, _ layout: SequenceLayout, states: inout [DecodingState],
    betweenBlocks: () throws -> Void
  ) rethrows -> Tensor {
    var x = x
    for (index, block) in blocks.enumerated() {
      try betweenBlocks()
      var mixers = states.map { $0.mixers[index] }
      x = block(x, layout, states: &mixers)
      for sequence in states.indices { states[sequence].mixers[index] = mixers[sequence] }
    }
    for sequence in states.indices {
      states[sequence].position += layout.segments.lengths[sequence]
    }
    return finalNorm(x)
  }

  public var parameters: [Parameter] {
    embedding.parameters + blocks.flatMap(\.parameters) + finalNorm.parameters + head.parameters
  }
}
