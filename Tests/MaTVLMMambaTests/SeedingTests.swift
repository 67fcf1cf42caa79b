import Foundation
import MaTVLMMamba
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Seeding a mixer from attention")
struct SeedingTests {
  /// Grouped heads, so that x and B are narrower than C: V and K have 32 rows, Q 96.
  private static let configurations = [false, true].map {
    Mamba2Configuration(modelWidth: 96, heads: 6, keyValueHeads: 2, hasProjectionBias: $0)
  }
  private let attention: AttentionProjections

  init() throws {
    var generator = RandomGenerator(seed: 11)
    func linear(_ name: String, _ outputs: Int) -> Linear {
      let values = (0..<outputs * 97).map { _ in Float(generator.normal()) }
      return Linear(
        weight: Parameter(
          "\(name).weight", Tensor(Array(values[..<(outputs * 96)]), [outputs, 96])),
        bias: Parameter("\(name).bias", Tensor(Array(values[(outputs * 96)...]), [outputs])))
    }
    attention = AttentionProjections(
      query: linear("q_proj", 96), key: linear("k_proj", 32), value: linear("v_proj", 32),
      output: linear("dense", 96))
  }

  private func seeded(
    _ configuration: Mamba2Configuration, _ seeding: AttentionSeeding,
    named path: String = "layers.4.mamba", seed: UInt64 = 5
  ) -> Mamba2Mixer {
    Mamba2Mixer(configuration, named: path, seededFrom: attention, seeding, seed: seed)
  }

  /// Rows of a matrix [_, 96].
  private func rows(_ layer: Linear, _ range: Range<Int>) -> [Float] {
    Array(layer.weight.value.array()[range.lowerBound * 96..<range.upperBound * 96])
  }

  @Test(
    "x, B, C and out are V, K, Q and the output projection, biases too if there are any",
    arguments: configurations, AttentionSeeding.allCases)
  func copies(_ configuration: Mamba2Configuration, _ seeding: AttentionSeeding) {
    let mixer = seeded(configuration, seeding)
    // z 0..<96, x 96..<128, B 128..<160, C 160..<256, Δ 256..<262
    #expect(mixer.inputProjection.weight.shape == [262, 96])
    #expect(rows(mixer.inputProjection, 96..<128) == attention.value.weight.value.array())
    #expect(rows(mixer.inputProjection, 128..<160) == attention.key.weight.value.array())
    #expect(rows(mixer.inputProjection, 160..<256) == attention.query.weight.value.array())
    #expect(mixer.outputProjection.weight.value.array() == attention.output.weight.value.array())
    guard configuration.hasProjectionBias else {
      #expect(mixer.inputProjection.bias == nil && mixer.outputProjection.bias == nil)
      return
    }
    let bias = mixer.inputProjection.bias!.value.array()
    #expect(Array(bias[96..<128]) == attention.value.bias!.value.array())
    #expect(Array(bias[128..<160]) == attention.key.bias!.value.array())
    #expect(Array(bias[160..<256]) == attention.query.bias!.value.array())
    #expect(mixer.outputProjection.bias!.value.array() == attention.output.bias!.value.array())
  }

  @Test("the source is left alone and shares no memory with the mixer")
  func ownership() {
    let before = attention.query.weight.value.array()
    let mixer = seeded(Self.configurations[0], .paper)
    mixer.inputProjection.weight.assign(.zeros([262, 96]))
    #expect(attention.query.weight.value.array() == before)
    #expect(mixer.parameters.allSatisfy { !$0.isTrainable && $0.value.dtype == .float32 })
    #expect(
      mixer.parameters.map(\.name)
        == [
          "dt_bias", "A_log", "D", "in_proj.weight", "conv1d.weight", "conv1d.bias", "norm.weight",
          "out_proj.weight",
        ].map { "layers.4.mamba.\($0)" })
  }

  @Test("a bfloat16 source is copied to the digit")
  func bfloat16() {
    let narrow = Device.cpu.backend.convert(attention.value.weight.value, to: .bfloat16)
    let value = Linear(weight: Parameter("v_proj.weight", narrow), bias: nil)
    let source = AttentionProjections(
      query: attention.query, key: attention.key, value: value, output: attention.output)
    let mixer = Mamba2Mixer(
      Self.configurations[0], named: "m", seededFrom: source, .paper, seed: 1)
    #expect(rows(mixer.inputProjection, 96..<128) == narrow.array())
  }

  /// Values that are spread over a range, none outside of it.
  private func expectSpread(_ values: [Float], _ range: ClosedRange<Float>, _ name: String) {
    let (low, high) = (values.min()!, values.max()!)
    #expect(range.contains(low) && range.contains(high), "\(name): \(low)...\(high)")
    let width = range.upperBound - range.lowerBound
    #expect(low < range.lowerBound + width / 20, "\(name) begins at \(low)")
    #expect(high > range.upperBound - width / 20, "\(name) ends at \(high)")
  }

  @Test("what is drawn fills its stated bounds")
  func bounds() {
    let mixers = (0..<40).map { seeded(Self.configurations[1], .paper, seed: $0) }
    let bound = 1 / Float(96).squareRoot()
    expectSpread(mixers.flatMap { rows($0.inputProjection, 0..<96) }, -bound...bound, "z")
    expectSpread(mixers.flatMap { rows($0.inputProjection, 256..<262) }, -bound...bound, "Δ")
    let biases = mixers.map { $0.inputProjection.bias!.value.array() }
    expectSpread(biases.flatMap { $0[..<96] + $0[256...] }, -bound...bound, "in_proj.bias")
    expectSpread(mixers.flatMap { $0.convolutionWeight.value.array() }, -0.5...0.5, "conv1d.weight")
    expectSpread(mixers.flatMap { $0.convolutionBias.value.array() }, -0.5...0.5, "conv1d.bias")
    let a = mixers.flatMap { $0.aLog.value.array().map(exp) }
    expectSpread(a, 0.99999...16.00001, "−A")
    // Log-uniform between 0.001 and 0.1.
    let steps = mixers.flatMap { $0.stepBias.value.array().map { log10(log1p(exp($0))) } }
    expectSpread(steps, -3.0001 ... -0.9999, "log₁₀ Δ")
    let mean = steps.reduce(0, +) / Float(steps.count)
    // Six standard errors of 240 numbers, uniform over a range of 2.
    #expect(abs(mean + 2) < 6 * 2 / Float(12 * 240).squareRoot(), "mean of log₁₀ Δ: \(mean)")
    for mixer in mixers {
      #expect(mixer.skip.value.array().allSatisfy { $0 == 1 })
      #expect(mixer.normWeight.value.array().allSatisfy { $0 == 1 })
    }
  }

  @Test("draws depend on the layer's name and the seed, and on nothing else")
  func draws() {
    func gate(_ path: String, _ seed: UInt64, _ seeding: AttentionSeeding = .paper) -> [Float] {
      rows(seeded(Self.configurations[0], seeding, named: path, seed: seed).inputProjection, 0..<96)
    }
    let alone = gate("layers.4.mamba", 5)
    let others = [gate("layers.0.mamba", 5), gate("layers.8.mamba", 5), gate("layers.4.mamba", 6)]
    #expect(gate("layers.4.mamba", 5) == alone)
    #expect(Set(others + [alone]).count == 4)
    #expect(gate("layers.4.mamba", 5, .identity) == alone)
  }

  @Test("identity seeding: the convolution passes rows, Δ is the same for all rows, A is −1")
  func identity() {
    let mixer = seeded(Self.configurations[1], .identity)
    let taps = mixer.convolutionWeight.value.array()
    for (index, tap) in taps.enumerated() { #expect(tap == (index % 4 == 3 ? 1 : 0)) }
    #expect(mixer.convolutionBias.value.array().allSatisfy { $0 == 0 })
    #expect(rows(mixer.inputProjection, 256..<262).allSatisfy { $0 == 0 })
    #expect(mixer.inputProjection.bias!.value.array()[256...].allSatisfy { $0 == 0 })
    #expect(mixer.aLog.value.array().allSatisfy { $0 == 0 })
    // Decay per row exp(−Δ) with Δ at most 0.1.
    let steps = mixer.stepBias.value.array().map { log1p(exp($0)) }
    #expect(steps.allSatisfy { $0 > 0.00099 && $0 < 0.1001 })

    // What the convolution does to rows is SiLU and nothing else.
    var generator = RandomGenerator(seed: 1)
    let x = Tensor((0..<7 * 160).map { _ in Float(generator.normal()) }, [7, 160])
    let y = x.backend.causalConvolution(
      x, mixer.convolutionWeight.value, mixer.convolutionBias.value, Segments([7]), tails: nil)
    #expect(mismatch(y, activate(x, .silu), relativeL2: 1e-6) == nil)
  }
}
