import Foundation
import MaTVLMTensor
import MaTVLMTestSupport
import MaTVLMTransformer
import Testing

@Suite("Phi's attention: grouped heads, partial rotary, caches")
struct PhiAttentionTests {
  private let configuration: PhiConfiguration
  private static let rows = 23

  init() throws {
    let whole: JSONValue = try Golden.decode("teacher/config.json")
    let grouped = ConfigurationObject(
      whole.setting(["text_config", "num_key_value_heads"], to: 2))
    configuration = try PhiConfiguration(grouped.object("text_config"))
  }

  /// Every weight and bias drawn, so that none can be forgotten unseen.
  private func attention(_ device: Device) throws -> PhiAttention {
    let rotary = RotaryEmbedding(
      width: configuration.rotaryWidth, base: configuration.ropeTheta, on: device)
    let attention = try PhiAttention(
      .fresh(seed: 1, on: device)["self_attn"], configuration, rotary: rotary)
    var generator = RandomGenerator(seed: 2)
    for parameter in attention.parameters {
      parameter.assign(Self.normal(parameter.shape, 0.2, device, &generator))
    }
    return attention
  }

  private static func normal(
    _ shape: Shape, _ deviation: Float, _ device: Device, _ generator: inout RandomGenerator
  ) -> Tensor {
    let values = (0..<shape.count).map { _ in Float(generator.normal()) * deviation }
    return Tensor(values, shape, on: device)
  }

  private func input(_ device: Device) -> Tensor {
    var generator = RandomGenerator(seed: 3)
    return Self.normal([Self.rows, configuration.hiddenSize], 1, device, &generator)
  }

  @Test("equals the formula written out in double precision", arguments: CPUVariant.all)
  func formula(_ variant: CPUVariant) throws {
    let (attention, x) = (try attention(variant.device), input(variant.device))
    let segments = Segments([9, Self.rows - 9])
    let y = attention(x, SequenceLayout(segments, on: variant.device))
    let expected = PlainAttention(attention, configuration).output(x, segments)
    #expect(mismatch(y.array(), expected, relativeL2: 1e-5) == nil)
  }

  @Test(
    "a cache gives what whole sequences give, in any pieces", arguments: CPUVariant.all,
    [[23], [1, 22], [7, 0, 15, 1], Array(repeating: 1, count: 23)])
  func cached(_ variant: CPUVariant, _ lengths: [Int]) throws {
    let (attention, x) = (try attention(variant.device), input(variant.device))
    let whole = attention(x, SequenceLayout(Segments([Self.rows]), on: variant.device))
    // Smaller than the sequence, so that the cache has to grow.
    var caches = [attention.makeCache(capacity: 3, on: variant.device)]
    var (pieces, start): ([Float], Int) = ([], 0)
    for length in lengths {
      let rows = gatherRows(
        x, Tensor(indices: Array(start..<start + length), on: variant.device))
      let layout = SequenceLayout(Segments([length]), past: [start], on: variant.device)
      pieces += attention(rows, layout, caches: &caches).array()
      start += length
    }
    #expect(mismatch(pieces, whole.array(), relativeL2: 1e-5) == nil)
    #expect(caches[0].count == Self.rows && caches[0].capacity >= Self.rows)
  }

  @Test("a copy of a cache goes its own way, and a shortened one forgets")
  func copies() throws {
    let (attention, x) = (try attention(.cpu), input(.cpu))
    func row(_ index: Int) -> Tensor { gatherRows(x, Tensor(indices: [index])) }
    func append(_ rows: Tensor, at past: Int, _ cache: inout KeyValueCache) -> [Float] {
      var caches = [cache]
      defer { cache = caches[0] }
      let layout = SequenceLayout(Segments([rows.shape.rows]), past: [past], on: .cpu)
      return attention(rows, layout, caches: &caches).array()
    }
    var cache = attention.makeCache(capacity: 30, on: .cpu)
    let head = gatherRows(x, Tensor(indices: Array(0..<10)))
    _ = append(head, at: 0, &cache)
    var copy = cache.copy()
    let expected = append(row(10), at: 10, &cache)
    _ = append(row(15), at: 10, &copy)
    // The copy wrote another row 10; the original still has its own.
    let after = append(row(11), at: 11, &cache)
    cache.truncate(to: 10)
    #expect(append(row(10), at: 10, &cache) == expected)
    #expect(append(row(11), at: 11, &cache) == after)
    #expect(cache.count == 12 && copy.count == 11)
  }
}

/// softmax(q kᵀ / √P) v of one head after the other, in double precision.
private struct PlainAttention {
  private let attention: PhiAttention
  private let configuration: PhiConfiguration

  init(_ attention: PhiAttention, _ configuration: PhiConfiguration) {
    (self.attention, self.configuration) = (attention, configuration)
  }

  func output(_ x: Tensor, _ segments: Segments) -> [Float] {
    let rows = x.array().map(Double.init).chunked(configuration.hiddenSize)
    let (width, heads) = (configuration.headWidth, configuration.heads)
    let positions = segments.positions
    let q = rotated(project(rows, attention.query), positions)
    let k = rotated(project(rows, attention.key), positions)
    let v = project(rows, attention.value)
    var mixed = rows.map { _ in [Double](repeating: 0, count: width * heads) }
    for row in rows.indices {
      let first = row - positions[row]
      for head in 0..<heads {
        let (own, shared) = (head * width, head / (heads / configuration.keyValueHeads) * width)
        let scores = (first...row).map { other in
          (0..<width).reduce(0) { $0 + q[row][own + $1] * k[other][shared + $1] }
            / Double(width).squareRoot()
        }
        let weights = scores.map { exp($0 - scores.max()!) }
        let sum = weights.reduce(0, +)
        for (other, weight) in zip(first...row, weights) {
          for column in 0..<width {
            mixed[row][own + column] += weight / sum * v[other][shared + column]
          }
        }
      }
    }
    return project(mixed, attention.output).flatMap { $0.map { Float($0) } }
  }

  private func project(_ x: [[Double]], _ layer: Linear) -> [[Double]] {
    let weights = layer.weight.value.array().map(Double.init).chunked(layer.weight.shape.width)
    let biases = layer.bias!.value.array().map(Double.init)
    return x.map { x in
      zip(weights, biases).map { row, bias in zip(row, x).reduce(bias) { $0 + $1.0 * $1.1 } }
    }
  }

  /// Columns i and i + half of the first `rotaryWidth` of each head turn by position · θ^(−2i/width).
  private func rotated(_ x: [[Double]], _ positions: [Int]) -> [[Double]] {
    let half = configuration.rotaryWidth / 2
    return zip(x, positions).map { row, position in
      var row = row
      for start in stride(from: 0, to: row.count, by: configuration.headWidth) {
        for i in 0..<half {
          let angle = Double(position) * pow(configuration.ropeTheta, -Double(i) / Double(half))
          let (a, b) = (row[start + i], row[start + half + i])
          row[start + i] = a * cos(angle) - b * sin(angle)
          row[start + half + i] = b * cos(angle) + a * sin(angle)
        }
      }
      return row
    }
  }
}

extension [Double] {
  fileprivate func chunked(_ width: Int) -> [[Double]] {
    stride(from: 0, to: count, by: width).map { Array(self[$0..<$0 + width]) }
  }
}
