import Foundation
import MaTVLMImages
import MaTVLMTensor
import MaTVLMText

/// The speed of reading prompts and pictures and of decoding, on tokens that are drawn.
public struct InferenceBenchmark: Sendable {
  private let model: VisionLanguageModel
  private let clock = ContinuousClock()

  public init(_ model: VisionLanguageModel) { self.model = model }

  /// Bytes of all weights that are held, each matrix as it is stored.
  public static func weightBytes(_ model: VisionLanguageModel) -> Int { bytes(model.parameters) }

  fileprivate static func bytes(_ parameters: [Parameter]) -> Int {
    parameters.reduce(0) { $0 + $1.value.dtype.byteCount(of: $1.shape) }
  }

  /// Bytes of the state after `rows` rows, without making one.
  public func stateBytes(rows: Int) -> Int { model.decoder.stateByteCount(capacity: rows) }

  /// Whether such a state has room in memory beside the weights, and beside what is read between tokens.
  public func hasRoom(rows: Int) -> Bool {
    guard model.device == .cpu else { return true }
    releaseUnusedMemory()
    let state = stateBytes(rows: rows) + MemoryPass.byteCount
    return state < ProcessMemory.availableBytes
      && state + Self.weightBytes(model) < Int(ProcessInfo.processInfo.physicalMemory)
  }

  /// Times single tokens of one sequence; the median counts.
  ///
  /// - Parameter context: rows that came before: as many are in the caches, all zero.
  public func decode(context: Int, tokens: Int) -> BenchmarkResult {
    withoutGradients {
      beginPeak()
      let decoder = model.decoder
      var states = [decoder.makeState(capacity: context + tokens + 2, zeroRows: context)]
      var step = DecodingStep(decoder, sequences: 1)
      var generator = RandomGenerator(seed: 3)
      func next() -> Double {
        let token = token(&generator)
        return clock.measure { _ = step([token], states: &states).mostLikely.indices() }
          / .seconds(1)
      }
      for _ in 0..<2 { _ = next() }
      let inUse = withExtendedLifetime(step) { model.device.backend.memoryInUse }
      let peak = ProcessMemory.peakBytes
      let pass = MemoryPass(model.device)
      let measured = (0..<tokens).map { _ in (pass.bytesPerSecond(), next()) }
      let state = states[0].byteCount
      return result(
        rows: context, tokens: 1, measured.map(\.1),
        work: Double(decoder.weightBytesPerToken + state),
        limit: Self.median(measured.map(\.0)), stateBytes: state, peakBytes: peak,
        deviceBytes: inUse)
    }
  }

  /// Times reading a prompt of text up to the token that follows it.
  public func prefill(tokens: Int, repeats: Int) -> BenchmarkResult {
    prefill(tokens: tokens, repeats: repeats, picture: nil)
  }

  /// Times one picture and the prompt after it, up to the first token of an answer.
  public func image(tokens: Int, repeats: Int) -> BenchmarkResult {
    let side = model.configuration.vision.imageSize
    var generator = RandomGenerator(seed: 5)
    let pixels = (0..<side * side * 3).map { _ in
      UInt8(truncatingIfNeeded: generator.next())
    }
    return prefill(
      tokens: tokens, repeats: repeats, picture: RGBImage(width: side, height: side, pixels: pixels)
    )
  }

  private func prefill(tokens: Int, repeats: Int, picture: RGBImage?) -> BenchmarkResult {
    withoutGradients {
      let limits = MachineLimits(for: model)
      beginPeak()
      let decoder = model.decoder
      var generator = RandomGenerator(seed: 4)
      let ids = (0..<tokens).map { _ in token(&generator) }
      let spliced = model.splice([picture == nil ? ids : [PromptTemplate.imageTokenID] + ids])
      let rows = spliced.segments.rows
      var stateBytes = 0
      let times = (0...repeats).map { _ in
        clock.measure {
          var states = [decoder.makeState(capacity: rows)]
          let last = decoder.readPrompts(
            spliced, images: picture.map { model.imageRows([$0]) }, states: &states,
            betweenBlocks: {})
          let logits = decoder.head(last)
          _ = logits.backend.argmaxRows(logits).indices()
          stateBytes = states[0].byteCount
        } / .seconds(1)
      }
      let work =
        model.multiplications(rows: rows) + (picture == nil ? 0 : model.multiplicationsOfPicture)
      return result(
        rows: rows, tokens: rows, Array(times.dropFirst()), work: work,
        limit: limits.multiplications, stateBytes: stateBytes,
        peakBytes: ProcessMemory.peakBytes)
    }
  }

  /// Memory that making the model, or the case before, has left is none of what follows.
  private func beginPeak() {
    releaseUnusedMemory()
    ProcessMemory.resetPeak()
  }

  private func releaseUnusedMemory() {
    model.device.backend.releaseUnusedMemory(beside: model.parameters.map(\.value))
  }

  private static func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

  /// - Parameters:
  ///   - tokens: what each of `times` brought.
  ///   - work: of each, in the unit of `limit`, which is what can be done in a second.
  private func result(
    rows: Int, tokens: Int, _ times: [Double], work: Double, limit: Double, stateBytes: Int,
    peakBytes: Int, deviceBytes: Int? = nil
  ) -> BenchmarkResult {
    let median = Self.median(times)
    let mixers = model.decoder.mambaLayers.count
    return BenchmarkResult(
      ssmRatio: Double(mixers) / Double(model.decoder.blocks.count), rows: rows,
      weightBytes: Self.weightBytes(model), stateBytes: stateBytes,
      speed: BenchmarkResult.Speed(
        seconds: median, tokensPerSecond: Double(tokens) / median,
        fractionOfLimit: work / limit / median, limit: limit, peakBytes: peakBytes,
        deviceBytes: deviceBytes))
  }

  /// What is known of a case that is not measured, because its state has no room in memory.
  public func unmeasured(rows: Int) -> BenchmarkResult {
    BenchmarkResult(
      ssmRatio: Double(model.decoder.mambaLayers.count) / Double(model.decoder.blocks.count),
      rows: rows, weightBytes: Self.weightBytes(model), stateBytes: stateBytes(rows: rows),
      speed: nil)
  }

  private func token(_ generator: inout RandomGenerator) -> Int {
    Int(generator.next() % UInt64(model.configuration.text.vocabularySize))
  }
}

extension HybridDecoder {
  /// Bytes of the weights that are read for a token: all but the embedding, of which it is a row.
  package var weightBytesPerToken: Int {
    InferenceBenchmark.bytes(
      blocks.flatMap(\.parameters) + finalNorm.parameters + head.parameters)
  }
}
