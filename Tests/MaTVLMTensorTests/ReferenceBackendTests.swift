import Foundation
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

/// Values that can be checked by hand, so that the oracle does not only agree with itself; its
/// gradients are checked by ``GradientCheckTests``.
@Suite("The reference gives values known from the formulas")
struct ReferenceBackendTests {
  private let backend = ReferenceBackend()
  private var device: Device { Device(backend) }

  private func expect(
    _ x: Tensor, _ values: [Float], sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let difference = mismatch(x.array(), values, relativeL2: 1e-6)
    #expect(difference == nil, sourceLocation: sourceLocation)
  }

  private func tensor(_ values: [Float], _ shape: Shape) -> Tensor {
    Tensor(values, shape, on: device)
  }

  @Test("New memory is not a number")
  func poisoned() {
    let x = Tensor(uninitialized: [3], on: backend)
    #expect(x.array().map(\.isNaN) == [true, true, true])
  }

  @Test("16-bit numbers round to the nearest, ties to even")
  func conversions() {
    let x = tensor([1.00390625, 1.01171875, 65519, 65520, 3e-8, 2.9e-8, -0.0, .nan], [8])
    expect(
      backend.convert(tensor([1.00390625, 1.01171875, -3], [3]), to: .bfloat16),
      [1, 1.015625, -3])
    let half = backend.convert(x, to: .float16).array()
    #expect(half[2] == 65504)
    #expect(half[3] == .infinity)
    #expect(half[4] == 0x1p-24)
    #expect(half[5] == 0)
    #expect(half[6].sign == .minus)
    #expect(half[7].isNaN)
    // The bits, as the format's definition has them: 1 = 0x3F80 and 0x3C00.
    var bits: [UInt16] = [0]
    for (dtype, expected) in [(DType.bfloat16, 0x3F80), (.float16, 0x3C00)] {
      let one = backend.convert(tensor([1], [1]), to: dtype)
      bits.withUnsafeMutableBytes { backend.read(one.storage.memory, at: 0, into: $0) }
      #expect(Int(bits[0]) == expected)
    }
  }

  /// From tables of the error function and the hyperbolic tangent.
  @Test func activations() {
    let x = tensor([1, -2, 0], [3])
    expect(backend.activate(x, .gelu), [0.841344746, -0.045500264, 0])
    expect(backend.activate(x, .geluTanh), [0.841191991, -0.045402306, 0])
    expect(backend.activate(x, .silu), [0.731058579, -0.238405844, 0])
  }

  @Test func productsAndNorms() {
    let weight = tensor([1, 0, 2, -1, 1, 1], [2, 3])
    expect(backend.linear(tensor([1, 2, 3], [1, 3]), weight, tensor([10, 20], [2])), [17, 24])
    expect(
      backend.layerNorm(
        tensor([1, 3], [1, 2]), tensor([2, 2], [2]), tensor([0, 1], [2]), epsilon: 0), [-2, 3])
    // silu(0) = 0 and silu(large) = large: g = (0, 3·20), its root mean square 60/√2.
    expect(
      backend.gatedRMSNorm(
        tensor([5, 3], [1, 2]), gate: tensor([0, 20], [1, 2]), tensor([1, 1], [2]), groupWidth: 2,
        epsilon: 0), [0, 2.0.squareRoot()].map { Float($0) })
  }

  @Test("A quarter turn takes (a, b) to (−b, a), half-split")
  func rotation() {
    let table = tensor([1, 1, 0, 0, 0, 1, 1, 0], [2, 4])
    let x = tensor([1, 2, 3, 4, 9], [1, 5])
    let turned = backend.rotate(
      x, table, positions: Tensor(indices: [1], on: device), heads: 1, inverse: false)
    expect(turned, [-3, 2, 1, 4, 9])
  }

  @Test("Equal keys give the mean of the values that are seen")
  func attention() {
    let (q, k) = (tensor([1, 2, 3], [3, 1]), tensor([0, 0, 0], [3, 1]))
    let v = tensor([3, 6, 12], [3, 1])
    func means(_ isCausal: Bool, _ lengths: [Int]) -> Tensor {
      let geometry = AttentionGeometry(
        heads: 1, keyValueHeads: 1, headWidth: 1, scale: 1, isCausal: isCausal)
      return backend.attention(q, k, v, geometry, Segments(lengths)).output
    }
    expect(means(true, [3]), [3, 4.5, 7])
    expect(means(false, [3]), [7, 7, 7])
    expect(means(false, [2, 1]), [4.5, 4.5, 12])
  }

  @Test("The last tap is the row itself")
  func convolution() {
    let x = tensor([1, 2, 3], [3, 1])
    let y = backend.causalConvolution(
      x, tensor([100, 10], [1, 1, 2]), tensor([0.5], [1]), Segments([3]), tails: nil)
    expect(y, [10.5, 120.5, 230.5].map { $0 / (1 + exp(-$0)) })
  }

  @Test("Two steps of the recurrence by hand")
  func scan() {
    // Δ = softplus(log(e − 1)) = 1, A = −e⁰ = −1, so each step keeps 1/e of the state.
    let inputs = StateSpaceInputs(
      x: tensor([2, 3], [2, 1]), b: tensor([1, 10], [2, 1]), c: tensor([1, 1], [2, 1]),
      dt: tensor([0, 0], [2, 1]), dtBias: tensor([Float(log(M_E - 1))], [1]),
      aLog: tensor([0], [1]), d: tensor([100], [1]))
    let geometry = StateSpaceGeometry(heads: 1, groups: 1, headWidth: 1, stateWidth: 1, chunk: 4)
    let y = backend.stateSpaceDuality(inputs, geometry, Segments([2]), states: nil)
    expect(y, [2 + 200, Float(2 / M_E + 30 + 300)])
  }

  @Test("Divergences of (½, ½) from (¼, ¾)")
  func divergences() {
    // Logits are log(1), log(3) for the teacher; the student's rows are zero.
    let student = VocabularyHead(
      rows: tensor([0], [1, 1]), weight: tensor([1, 1], [2, 1]), bias: nil)
    let teacher = VocabularyHead(
      rows: tensor([1], [1, 1]), weight: tensor([0, Float(log(3.0))], [2, 1]), bias: nil)
    let (s, t) = ([0.5, 0.5], [0.25, 0.75])
    let m = zip(s, t).map { ($0 + $1) / 2 }
    func kl(_ p: [Double], _ q: [Double]) -> Double {
      zip(p, q).reduce(0) { $0 + $1.0 * log($1.0 / $1.1) }
    }
    let expected: [Divergence: Double] = [
      .forward: kl(t, s), .reverse: kl(s, t), .jensenShannon: (kl(t, m) + kl(s, m)) / 2,
      .jensenShannonAuthors: (kl(m, t) + kl(m, s)) / 2, .teacherArgmax: log(2),
      .logitDistance: log(3) * log(3) / 2,
    ]
    for divergence in Divergence.allCases {
      var request = VocabularyLossRequest()
      request.divergence = divergence
      request.divergenceWeights = tensor([1], [1])
      let result = backend.vocabularyLoss(student, teacher: teacher, request)
      expect(result.divergence!, [Float(expected[divergence]!)])
    }
  }

  @Test("The first AdamW step is the learning rate, whatever the gradient, plus decay")
  func adamW() {
    let value = tensor([1, 1], [2])
    let update = AdamWUpdate(
      value: value, gradient: tensor([0.001, -50], [2]), firstMoment: backend.zeros([2], .float32),
      secondMoment: backend.zeros([2], .float32), weightDecay: 0.1)
    backend.adamW(
      [update],
      AdamWStep(
        learningRate: 0.01, beta1: 0.9, beta2: 0.95, epsilon: 0, correction1: 1 - 0.9,
        correction2: 1 - 0.95, gradientScale: 1))
    expect(value, [1 - 0.01 - 0.001, 1 + 0.01 - 0.001])
  }
}
