import Foundation
import MaTVLMMamba
import MaTVLMTensor
import MaTVLMText

/// The speed of reading prompts and of decoding, on tokens that are drawn.
public struct InferenceBenchmark: Sendable {
  public struct Decoding: Sendable, Encodable {
    /// Rows that came before.
    public let context: Int
    public let tokensPerSecond: Double
    /// Weights and state that a token must read.
    public let bytesPerToken: Int
    /// Of the state alone: keys and values, and what recurrent mixers remember.
    public let stateBytes: Int
    /// Of a card's memory: weights, state, and what a step computes with; nil on the processor.
    public let deviceBytes: Int?
    /// Tokens per second of a machine that only reads `bytesPerToken`.
    public let memoryLimit: Double
    /// Which part of that is reached.
    public let fractionOfLimit: Double
  }

  public struct Prompt: Sendable, Encodable {
    public let tokens: Int
    /// The median.
    public let seconds: Double
    public let tokensPerSecond: Double
  }

  private let model: VisionLanguageModel
  private let clock = ContinuousClock()

  public init(_ model: VisionLanguageModel) { self.model = model }

  /// Bytes of all weights that are held, each matrix as it is stored.
  public var weightBytes: Int { Self.bytes(model.parameters) }

  private static func bytes(_ parameters: [Parameter]) -> Int {
    parameters.reduce(0) { $0 + $1.value.dtype.byteCount(of: $1.shape) }
  }

  /// Bytes per second that the device reads from memory: the best of some passes over a gibibyte, as
  /// the matrix of a product with one row, or to add up its squares.
  public func memoryBandwidth() -> Double {
    let (backend, rows) = (model.device.backend, 1 << 16)
    let type = backend.activationType
    let matrix = Tensor.zeros([rows, (1 << 30) / rows / type.byteCount], type, on: model.device)
    let x = Tensor.zeros([1, matrix.shape.width], type, on: model.device)
    let times = (0..<6).flatMap { _ in
      [
        clock.measure { _ = backend.linear(x, matrix, nil).array() },
        clock.measure { _ = backend.sumOfSquares([matrix]).item() },
      ]
    }
    return Double(1 << 30) / (times.min()! / .seconds(1))
  }

  /// Times single tokens of one sequence; the median counts.
  ///
  /// - Parameters:
  ///   - context: rows that came before: as many are in the caches, all zero.
  ///   - bandwidth: bytes per second, see ``memoryBandwidth()``.
  public func decode(context: Int, tokens: Int, bandwidth: Double) -> Decoding {
    withoutGradients {
      let decoder = model.decoder
      var states = [decoder.makeState(capacity: context + tokens + 2)]
      states[0].skip(context)
      var step = DecodingStep(decoder, sequences: 1)
      var generator = RandomGenerator(seed: 3)
      let times = (0..<tokens + 2).map { _ in
        let token = token(&generator)
        return clock.measure { _ = step([token], states: &states).mostLikely.indices() }
          / .seconds(1)
      }
      let median = times.dropFirst(2).sorted()[tokens / 2]
      let inUse = withExtendedLifetime(step) { model.device.backend.memoryInUse }
      let weights =
        Self.bytes(decoder.blocks.flatMap(\.parameters))
        + Self.bytes(decoder.finalNorm.parameters + decoder.head.parameters)
      let read = weights + states[0].byteCount
      let limit = bandwidth / Double(read)
      return Decoding(
        context: context, tokensPerSecond: 1 / median, bytesPerToken: read,
        stateBytes: states[0].byteCount, deviceBytes: inUse,
        memoryLimit: limit, fractionOfLimit: 1 / median / limit)
    }
  }

  /// Times reading a prompt of text up to the logits that follow it.
  public func prefill(tokens: Int, repeats: Int) -> Prompt {
    withoutGradients {
      let (decoder, device) = (model.decoder, model.device)
      var generator = RandomGenerator(seed: 4)
      let ids = Tensor(indices: (0..<tokens).map { _ in token(&generator) }, on: device)
      let last = Tensor(indices: [tokens - 1], on: device)
      let times = (0...repeats).map { _ in
        var states = [decoder.makeState(capacity: tokens)]
        return clock.measure {
          let rows = decoder(decoder.embedding(ids), Segments([tokens]), states: &states)
          _ = decoder.head(gatherRows(rows, last)).array()
        } / .seconds(1)
      }
      let median = times.dropFirst().sorted()[repeats / 2]
      return Prompt(tokens: tokens, seconds: median, tokensPerSecond: Double(tokens) / median)
    }
  }

  private func token(_ generator: inout RandomGenerator) -> Int {
    Int(generator.next() % UInt64(model.configuration.text.vocabularySize))
  }
}

extension VisionLanguageModel {
  /// A model of these sizes with random weights and a tokenizer of bytes, to be measured.
  ///
  /// - Parameters:
  ///   - mambaLayers: blocks that have a Mamba-2 mixer in place of attention.
  ///   - matrices: the type of all matrices.
  /// - Throws: ``ConfigurationError`` when the sizes do not fit each other.
  public static func random(
    _ sizes: ModelSizes, mambaLayers: [Int] = [], matrices: DType, on device: Device = .cpu
  ) throws -> VisionLanguageModel {
    var configuration = try sizes.configuration()
    if !mambaLayers.isEmpty {
      let text = configuration.text
      configuration.mamba = try MambaPlacement(
        Mamba2Configuration(
          modelWidth: text.hiddenSize, heads: text.heads, keyValueHeads: text.keyValueHeads),
        layers: mambaLayers, of: configuration.source.object("text_config"))
    }
    let tokenizer = try BytePairTrainer(vocabularySize: 257).train(on: [])
    return try .fresh(
      configuration, tokenizer: tokenizer, seed: 1, matrices: matrices, on: device)
  }
}
