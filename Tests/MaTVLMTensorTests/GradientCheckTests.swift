import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("The gradient of every operation is the slope of its value")
struct GradientCheckTests {
  private var check = GradientCheck()

  @Test("A wrong gradient is found")
  mutating func wrongGradient() {
    let failures = check.failures([[3, 2]]) { inputs in
      // The value is 2x and the gradient that of 1.999x.
      let y = inputs[0].detached * 2
      return y.recording("wrong", [inputs[0]]) { [$0 * 1.999] }
    }
    #expect(failures.count == 1)
  }

  @Test mutating func arithmetic() {
    #expect(check.failures([[3, 5], [3, 5]]) { $0[0] + $0[1] } == [])
    #expect(check.failures([[3, 5], [3, 5]]) { $0[0] * $0[1] } == [])
    #expect(check.failures([[3, 5]]) { $0[0] * $0[0] + $0[0] } == [])
    #expect(check.failures([[3, 5]]) { $0[0] * -1.7 } == [])
  }

  @Test(arguments: [Activation.gelu, .geluTanh, .silu])
  mutating func activation(_ activation: Activation) {
    #expect(check.failures([[5, 7]]) { activate($0[0] * 2, activation) } == [])
  }

  @Test mutating func linearProducts() {
    #expect(check.failures([[3, 5], [4, 5], [4]]) { linear($0[0], $0[1], bias: $0[2]) } == [])
    #expect(check.failures([[3, 5], [4, 5]]) { linear($0[0], $0[1]) } == [])
    let (x, weight) = (check.constant([3, 5]), check.constant([4, 5]))
    #expect(check.failures([[3, 5]]) { linear($0[0], weight) } == [])
    #expect(check.failures([[4, 5], [4]]) { linear(x, $0[0], bias: $0[1]) } == [])
  }

  @Test mutating func productsTogether() {
    let frozen = check.constant([2, 5])
    #expect(
      check.failures([[3, 5], [4, 5], [4], [6, 5]]) { inputs in
        joinColumns(
          linear(
            inputs[0],
            [
              Projection(weight: inputs[1], bias: inputs[2]),
              Projection(weight: inputs[3], bias: nil, activation: .geluTanh),
              Projection(weight: frozen, bias: nil, activation: .silu),
            ]))
      } == [])
    // The gradient of one output alone.
    #expect(
      check.failures([[3, 5], [4, 5]]) { inputs in
        linear(
          inputs[0],
          [Projection(weight: frozen, bias: nil), Projection(weight: inputs[1], bias: nil)])[1]
      } == [])
  }

  @Test mutating func productsAddedToAStream() {
    let (x, frozen) = (check.constant([3, 5]), check.constant([4, 5]))
    #expect(
      check.failures([[3, 4], [3, 6], [4, 6], [4], [3, 5]]) { inputs in
        addLinear(
          inputs[0],
          [
            LinearTerm(inputs[1], Projection(weight: inputs[2], bias: inputs[3])),
            LinearTerm(inputs[4], Projection(weight: frozen, bias: nil)),
            LinearTerm(x, Projection(weight: frozen, bias: nil)),
          ])
      } == [])
  }

  /// The gradient goes through layer and activation at once, and by another way through the activation alone.
  @Test(arguments: [Activation.gelu, .geluTanh, .silu])
  mutating func activatedProductsAddedToAStream(_ activation: Activation) {
    let frozen = check.constant([5, 5])
    #expect(
      check.failures([[3, 5], [3, 5], [5, 5]]) { inputs in
        let activated = activate(inputs[1], activation)
        return addLinear(
          inputs[0] + activated,
          [
            LinearTerm(activated, Projection(weight: inputs[2], bias: nil)),
            LinearTerm(activated, Projection(weight: frozen, bias: nil)),
          ])
      } == [])
  }

  @Test(arguments: Quantization.Code.allCases)
  mutating func quantizedProducts(_ code: Quantization.Code) {
    let weight = check.device.backend.convert(
      check.constant([20, 40]), to: .quantized(Quantization(code)))
    #expect(check.failures([[3, 40], [20]]) { linear($0[0], weight, bias: $0[1]) } == [])
  }

  @Test mutating func norms() {
    #expect(
      check.failures([[3, 6], [6], [6]]) { layerNorm($0[0], $0[1], $0[2], epsilon: 1e-2) } == [])
    #expect(
      check.failures([[3, 6], [3, 6], [6]]) {
        gatedRMSNorm($0[0], gate: $0[1], $0[2], groupWidth: 3, epsilon: 1e-2)
      } == [])
  }

  @Test mutating func rows() {
    let chosen = Tensor(indices: [2, 0, 2, 1], on: check.device)
    #expect(check.failures([[4, 3]]) { gatherRows($0[0], chosen) } == [])
    #expect(check.failures([[4, 3]]) { scatterRows($0[0], to: chosen, count: 5) } == [])
  }

  @Test mutating func columns() {
    #expect(check.failures([[3, 6]]) { splitColumns($0[0], [1, 3, 2]) } == [])
    #expect(check.failures([[3, 6]]) { splitColumns($0[0], [1, 3, 2])[1] } == [])
    #expect(check.failures([[3, 1], [3, 4], [3, 2]]) { joinColumns($0) } == [])
  }

  @Test mutating func rotation() {
    let embedding = RotaryEmbedding(width: 4, base: 100, on: check.device)
    let positions = Tensor(indices: [0, 5, 3], on: check.device)
    #expect(
      check.failures([[3, 12]]) {
        rotate($0[0], embedding.table(positions: 6), positions: positions, heads: 2)
      } == [])
  }

  @Test(arguments: [true, false])
  mutating func attentionInSegments(_ isCausal: Bool) {
    let geometry = AttentionGeometry(
      heads: 4, keyValueHeads: 2, headWidth: 3, scale: 0.6, isCausal: isCausal)
    #expect(
      check.failures([[6, 12], [6, 6], [6, 6]]) {
        attention($0[0], $0[1], $0[2], geometry, Segments([4, 0, 2]))
      } == [])
  }

  @Test mutating func convolution() {
    let geometry = StateSpaceGeometry(
      heads: 2, groups: 1, headWidth: 2, stateWidth: 1, chunk: 4)
    for used in [[0, 1, 2, 3, 4], [1, 3]] {  // parts that something is made of
      #expect(
        check.failures([[7, 4 + 2 + 1 + 2 + 2], [5, 1, 4], [5]]) {
          let parts = mixerParts($0[0], $0[1], $0[2], geometry, Segments([5, 0, 2]))
          return joinColumns(used.map { parts[$0] })
        } == [])
    }
  }

  @Test mutating func scan() {
    let geometry = StateSpaceGeometry(
      heads: 4, groups: 2, headWidth: 2, stateWidth: 3, chunk: 4)
    #expect(
      check.failures([[6, 4], [6, 6], [6, 12], [6, 4], [4], [4], [4]]) {
        stateSpaceDuality(
          StateSpaceInputs(
            x: $0[0], b: $0[1], c: $0[2], dt: $0[3], dtBias: $0[4], aLog: $0[5], d: $0[6]),
          geometry, Segments([5, 0, 1]))
      } == [])
  }

  @Test(arguments: Divergence.allCases, [Float(1), 2])
  mutating func vocabulary(_ divergence: Divergence, _ temperature: Float) {
    let teacher = VocabularyHead(
      rows: check.constant([3, 5]), weight: check.constant([7, 5]), bias: check.constant([7]))
    var request = VocabularyLossRequest()
    (request.divergence, request.temperature) = (divergence, temperature)
    request.divergenceWeights = check.constant([3])
    request.labels = Tensor(indices: [6, -1, 0], on: check.device)
    request.labelWeights = check.constant([3])
    #expect(
      check.failures([[3, 4], [7, 4], [7]]) {
        let student = VocabularyHead(rows: $0[0], weight: $0[1], bias: $0[2])
        return vocabularyLoss(student, teacher: teacher, request).total
      } == [])
  }

  @Test mutating func distances() {
    let (target, weights) = (check.constant([5, 3]), check.constant([3]))
    #expect(
      check.failures([[5, 3]]) {
        distance($0[0], to: target, Segments([3, 0, 2]), weights: weights).total
      } == [])
  }

  @Test mutating func recomputed() {
    let weight = Parameter("weight", check.constant([5, 5]))
    #expect(
      check.failures([[3, 5]]) {
        recomputing($0[0] * 2, [weight]) { activate(linear($0, weight.value), .silu) * $0 }
      } == [])
  }
}
