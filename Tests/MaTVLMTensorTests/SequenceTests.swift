import MaTVLMTensor
import MaTVLMTestSupport
import Testing

/// What must be equal by meaning: pieces and the whole, packed and separate, cached and not. Sizes
/// cross every block of the CPU's kernels; that each is right at all is the conformance suite's.
@Suite("Sequences give the same in pieces, packed and cached")
struct SequenceTests {
  /// Where the order of float32 sums is not the same.
  private static let rounding = 1e-5

  @Test(
    "The scan and the convolution go on where a piece ended", arguments: CPUVariant.all,
    [[150], [1, 149], [64, 64, 22], [3, 0, 90, 2, 55], Array(repeating: 1, count: 150)])
  func pieces(_ variant: CPUVariant, _ lengths: [Int]) {
    var source = Source(variant.device, seed: 1)
    let (geometry, channels) = (Source.geometry, 1030)
    let inputs = source.scan(geometry, rows: 150)
    let (x, weight, bias) = source.convolution(rows: 150, channels: channels)
    let backend = variant.device.backend
    let state = backend.zeros(source.stateShape(geometry), .float32)
    let tail = backend.zeros([3, channels], .float32)
    var (scanned, convolved): ([Float], [Float]) = ([], [])
    var start = 0
    for length in lengths {
      let (rows, segments) = (start..<start + length, Segments([length]))
      scanned += backend.stateSpaceDuality(
        inputs.rows(rows), geometry, segments, states: [state]
      ).array()
      convolved += backend.causalConvolution(
        x.rows(rows), weight, bias, segments, tails: [tail]
      ).array()
      start += length
    }
    let whole = Segments([150])
    let y = backend.stateSpaceDuality(inputs, geometry, whole, states: nil).array()
    let z = backend.causalConvolution(x, weight, bias, whole, tails: nil).array()
    #expect(mismatch(scanned, y, relativeL2: Self.rounding) == nil)
    #expect(convolved == z)
    #expect(tail.array() == x.rows(147..<150).array())
    let other = backend.zeros(source.stateShape(geometry), .float32)
    _ = backend.stateSpaceDuality(inputs, geometry, whole, states: [other])
    #expect(mismatch(state, other, relativeL2: Self.rounding) == nil)
  }

  @Test("The scan does not depend on its chunk", arguments: [1, 7, 16, 63, 256])
  func chunks(_ chunk: Int) {
    var source = Source(.cpu, seed: 2)
    let (one, segments) = (Source.geometry, Segments([150, 5]))
    let other = StateSpaceGeometry(
      heads: one.heads, groups: one.groups, headWidth: one.headWidth, stateWidth: one.stateWidth,
      chunk: chunk)
    let inputs = source.scan(one, rows: 155)
    let dy = source.tensor([155, one.heads * one.headWidth])
    let backend = Device.cpu.backend
    let results = [one, other].map { geometry in
      let gradient = backend.stateSpaceDualityGradient(dy, inputs, geometry, segments)
      let y = backend.stateSpaceDuality(inputs, geometry, segments, states: nil)
      return [y] + gradient.all
    }
    for (a, b) in zip(results[0], results[1]) {
      #expect(mismatch(a, b, relativeL2: 10 * Self.rounding) == nil)
    }
  }

  @Test("Packed segments are computed as if each were alone", arguments: CPUVariant.all)
  func packed(_ variant: CPUVariant) {
    var source = Source(variant.device, seed: 3)
    let (lengths, geometry, backend) = ([70, 0, 1, 129], Source.geometry, variant.device.backend)
    let segments = Segments(lengths)
    let inputs = source.scan(geometry, rows: 200)
    let (x, weight, bias) = source.convolution(rows: 200, channels: 40)
    let (q, k, v) = source.attention(Source.heads, rows: 200)
    let packed = [
      backend.stateSpaceDuality(inputs, geometry, segments, states: nil),
      backend.causalConvolution(x, weight, bias, segments, tails: nil),
      backend.attention(q, k, v, Source.heads, segments).output,
    ]
    var separate: [[Float]] = [[], [], []]
    for (start, length) in zip(segments.starts, lengths) {
      let (rows, alone) = (start..<start + length, Segments([length]))
      separate[0] += backend.stateSpaceDuality(
        inputs.rows(rows), geometry, alone, states: nil
      ).array()
      separate[1] += backend.causalConvolution(
        x.rows(rows), weight, bias, alone, tails: nil
      ).array()
      separate[2] += backend.attention(
        q.rows(rows), k.rows(rows), v.rows(rows), Source.heads, alone
      ).output.array()
    }
    #expect(packed.map { $0.array() } == separate)
  }

  @Test(
    "Attention to a cache is attention to the rows in it", arguments: CPUVariant.all,
    [[300], [200, 100], [297, 1, 1, 1], [130, 4, 70, 2, 94]])
  func cached(_ variant: CPUVariant, _ lengths: [Int]) {
    var source = Source(variant.device, seed: 4)
    let (q, k, v) = source.attention(Source.heads, rows: 300)
    let backend = variant.device.backend
    let caches = [k, v].map { backend.zeros([310, $0.shape.width], .float32) }
    var (output, start): ([Float], Int) = ([], 0)
    for length in lengths {
      let (rows, piece) = (start..<start + length, Segments([length]))
      let positions = Tensor(indices: Array(rows), on: variant.device)
      for (x, cache) in zip([k, v], caches) {
        backend.appendRows(x.rows(rows), to: [cache], positions: positions, piece)
      }
      output += backend.cachedAttention(
        q.rows(rows), keys: [caches[0]], values: [caches[1]], positions: positions,
        Source.heads, piece
      ).array()
      start += length
    }
    let whole = backend.attention(q, k, v, Source.heads, Segments([300])).output
    #expect(mismatch(output, whole.array(), relativeL2: Self.rounding) == nil)
  }
}

/// Random inputs on one device.
private struct Source {
  static let geometry = StateSpaceGeometry(
    heads: 4, groups: 2, headWidth: 20, stateWidth: 24, chunk: 64)
  /// More key heads than one thread reads side by side.
  static let heads = AttentionGeometry(
    heads: 20, keyValueHeads: 10, headWidth: 24, scale: 0.2, isCausal: true)

  private let device: Device
  private var generator: RandomGenerator

  init(_ device: Device, seed: UInt64) {
    (self.device, generator) = (device, RandomGenerator(seed: seed))
  }

  mutating func tensor(_ shape: Shape, mean: Double = 0) -> Tensor {
    Tensor((0..<shape.count).map { _ in Float(mean + generator.normal()) }, shape, on: device)
  }

  func stateShape(_ geometry: StateSpaceGeometry) -> Shape {
    [geometry.heads, geometry.headWidth, geometry.stateWidth]
  }

  mutating func scan(_ geometry: StateSpaceGeometry, rows: Int) -> StateSpaceInputs {
    StateSpaceInputs(
      x: tensor([rows, geometry.groups * geometry.headWidth]),
      b: tensor([rows, geometry.groups * geometry.stateWidth]),
      c: tensor([rows, geometry.heads * geometry.stateWidth]),
      dt: tensor([rows, geometry.heads]), dtBias: tensor([geometry.heads], mean: -2),
      aLog: tensor([geometry.heads]), d: tensor([geometry.heads]))
  }

  mutating func convolution(
    rows: Int, channels: Int
  ) -> (x: Tensor, weight: Tensor, bias: Tensor) {
    (tensor([rows, channels]), tensor([channels, 1, 4]), tensor([channels]))
  }

  mutating func attention(
    _ geometry: AttentionGeometry, rows: Int
  ) -> (q: Tensor, k: Tensor, v: Tensor) {
    let key: Shape = [rows, geometry.keyValueHeads * geometry.headWidth]
    return (tensor([rows, geometry.heads * geometry.headWidth]), tensor(key), tensor(key))
  }
}

extension Tensor {
  fileprivate func rows(_ range: Range<Int>) -> Tensor {
    let values = array()[range.lowerBound * shape.width..<range.upperBound * shape.width]
    return Tensor(Array(values), [range.count, shape.width], on: device)
  }
}

extension StateSpaceInputs {
  fileprivate func rows(_ range: Range<Int>) -> StateSpaceInputs {
    StateSpaceInputs(
      x: x.rows(range), b: b.rows(range), c: c.rows(range), dt: dt.rows(range), dtBias: dtBias,
      aLog: aLog, d: d)
  }

  fileprivate var all: [Tensor] { [x, b, c, dt, dtBias, aLog, d] }
}
