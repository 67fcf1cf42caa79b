import MaTVLMMamba
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Calibrating a mixer on examples")
struct CalibrationTests {
  private static let width = 32
  private static let configurations = [false, true].map {
    Mamba2Configuration(
      modelWidth: width, heads: 4, keyValueHeads: 2, hasProjectionBias: $0)
  }
  private let attention: AttentionProjections
  private let inputs: [(Tensor, SequenceLayout)]

  init() {
    var generator = RandomGenerator(seed: 4)
    func normal(_ shape: Shape, _ deviation: Double = 1) -> Tensor {
      Tensor((0..<shape.count).map { _ in Float(deviation * generator.normal()) }, shape)
    }
    func projection(_ name: String, _ outputs: Int) -> Linear {
      Linear(
        weight: Parameter("\(name).weight", normal([outputs, Self.width], 0.2)),
        bias: Parameter("\(name).bias", normal([outputs], 0.2)))
    }
    attention = AttentionProjections(
      query: projection("q_proj", 32), key: projection("k_proj", 16),
      value: projection("v_proj", 16), output: projection("dense", 32))
    // Of the fitted examples several times as many rows as the output projection has inputs.
    inputs = [[90, 40], [131], [60, 80], [150], [110, 31], [17, 3, 11]].map {
      (normal([$0.reduce(0, +), Self.width]), SequenceLayout(Segments($0), on: .cpu))
    }
  }

  /// What a mixer of the same start as a candidate does, but with another output projection.
  private func examples(_ hidden: Mamba2Mixer) -> [MixerExample] {
    inputs.map { MixerExample(input: $0, output: hidden($0, $1), layout: $1) }
  }

  private func calibrated(
    _ configuration: Mamba2Configuration, _ examples: [MixerExample], passes: Int, seed: UInt64 = 5
  ) throws -> (mixer: Mamba2Mixer, residuals: MixerCalibration.Residuals) {
    var calibration = MixerCalibration()
    (calibration.passes, calibration.ridge) = (passes, passes == 0 ? 1e-9 : calibration.ridge)
    calibration.learningRate = 0.0025  // 0.01 at this width
    return try Mamba2Mixer.calibrated(
      configuration, named: "layers.4.mamba", seededFrom: attention, to: Array(examples.dropLast()),
      heldBack: Array(examples.suffix(1)), calibration, seed: seed)
  }

  @Test(
    "an output projection that alone is unknown is found, with its bias, and its start is chosen",
    arguments: configurations, AttentionSeeding.allCases)
  func recovery(_ configuration: Mamba2Configuration, _ seeding: AttentionSeeding) throws {
    let hidden = Mamba2Mixer(
      configuration, named: "layers.4.mamba", seededFrom: attention, seeding, seed: 5)
    for parameter in hidden.outputProjection.parameters {
      parameter.assign(
        Tensor(parameter.value.array().map { 1.5 * $0 - 0.1 }, parameter.shape))
    }
    let (mixer, residuals) = try calibrated(configuration, examples(hidden), passes: 0)
    // Targets are float32, and the ridge pulls a little.
    #expect(residuals.seeded > 1 && residuals.solved < 1e-2, "\(residuals)")
    #expect(residuals.calibrated == residuals.solved && residuals.pass == 0)
    #expect(mixer.aLog.value.array() == hidden.aLog.value.array())
    #expect(mixer.convolutionWeight.value.array() == hidden.convolutionWeight.value.array())
    for (found, sought) in zip(
      mixer.outputProjection.parameters, hidden.outputProjection.parameters)
    {
      #expect(
        mismatch(found.value.array(), sought.value.array(), relativeL2: 1e-2) == nil,
        "\(found.name)")
    }
  }

  @Test("passes lower the residual of what no start explains, and the best one is kept")
  func descent() throws {
    let configuration = Self.configurations[0]
    // Drawn from another seed: gate, Δ and convolution are unknown too.
    let hidden = Mamba2Mixer(
      configuration, named: "layers.9.mamba", seededFrom: attention, .paper, seed: 77)
    let (mixer, residuals) = try calibrated(configuration, examples(hidden), passes: 30)
    #expect(residuals.calibrated < residuals.solved && residuals.pass > 0)
    // What is returned is what was scored.
    let last = examples(hidden)[5]
    let difference = distance(
      mixer(last.input, last.layout), to: last.output, last.layout.segments,
      weights: Tensor([1, 1, 1], [3]))
    let mean = difference.norms.array().reduce(0) { $0 + Double($1) } / 3
    #expect(deviation(mean, from: residuals.calibrated, relative: 1e-6) == nil)
    #expect(mixer.parameters.allSatisfy { !$0.isTrainable && $0.value.history == nil })
  }

  @Test("what depends on directions in which rows hardly vary is learned, too")
  func smallDirections() throws {
    // As rows of a decoder: most columns are a fraction of the others, and matter as much.
    let scales = (0..<Self.width).map { Float($0 % 4 == 0 ? 1 : 0.03) }
    let configuration = Self.configurations[0]
    let hidden = Mamba2Mixer(
      configuration, named: "layers.4.mamba", seededFrom: attention, .identity, seed: 5)
    var generator = RandomGenerator(seed: 6)
    let weight = hidden.inputProjection.weight
    let changed = weight.value.array().enumerated().map { place, value in
      value + Float(0.1 * generator.normal()) / scales[place % Self.width]
    }
    weight.assign(Tensor(changed, weight.shape))
    let examples = inputs.map { input, layout in
      let values = input.array().enumerated().map { $0.element * scales[$0.offset % Self.width] }
      let rows = Tensor(values, input.shape)
      return MixerExample(input: rows, output: hidden(rows, layout), layout: layout)
    }
    let residuals = try calibrated(configuration, examples, passes: 60).residuals
    // 0.56 of it; a descent in the rows' own coordinates ends at 0.85.
    #expect(residuals.calibrated < 0.7 * residuals.solved, "\(residuals)")
  }

  @Test("the same seed gives the same bits, another one does not")
  func repeatable() throws {
    let configuration = Self.configurations[1]
    let hidden = Mamba2Mixer(
      configuration, named: "layers.9.mamba", seededFrom: attention, .paper, seed: 77)
    func bits(_ seed: UInt64) throws -> [[UInt32]] {
      try calibrated(configuration, examples(hidden), passes: 2, seed: seed).mixer.parameters.map {
        $0.value.array().map(\.bitPattern)
      }
    }
    #expect(try bits(5) == bits(5))
    #expect(try bits(5) != bits(6))
  }

  @Test("examples without an answer are an error")
  func failure() throws {
    let configuration = Self.configurations[0]
    let undefined = inputs.map { input, layout in
      MixerExample(
        input: input, output: Tensor(Array(repeating: .nan, count: input.shape.count), input.shape),
        layout: layout)
    }
    #expect(throws: LinearAlgebra.Failure.notFinite) {
      try calibrated(configuration, undefined, passes: 1)
    }
    // Rows of zeros stay zeros through all of the mixer.
    let silent = inputs.map { input, layout in
      MixerExample(input: .zeros(input.shape), output: input, layout: layout)
    }
    #expect(throws: LinearAlgebra.Failure.notPositiveDefinite(order: 1)) {
      try calibrated(configuration, silent, passes: 1)
    }
  }
}
