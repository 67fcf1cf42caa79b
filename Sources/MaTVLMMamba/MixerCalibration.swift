import Foundation
import MaTVLMTensor

/// What attention made of some sequences: a mixer that replaces it is to make the same.
public struct MixerExample: Sendable {
  /// The block's normed rows [T, D].
  public let input: Tensor
  /// The attention's output [T, D], before it is added to the stream.
  public let output: Tensor
  public let layout: SequenceLayout

  public init(input: Tensor, output: Tensor, layout: SequenceLayout) {
    (self.input, self.output, self.layout) = (input, output, layout)
  }
}

/// How a mixer is fitted to examples of the attention that it replaces, before training.
///
/// Beyond the paper, which names initialisation as its limit (section 5). Of the starts that ``Start``
/// lists the one is taken that explains attention best with an output projection of its own, solved
/// for by least squares. From there, passes over the examples descend on the same residual, layer by
/// layer as MOHAWK's second stage does (arXiv:2408.10189), with input rows in coordinates in which they
/// vary more evenly. After every fourth pass and the last the output projection is solved for again,
/// and what is best on examples held back is kept.
public struct MixerCalibration: Sendable, Hashable {
  /// Times to go through the examples; 0 solves for the output projection only.
  public var passes = 16
  /// The highest rate of the descent at a width of 128; at others in inverse proportion, as what one
  /// step changes in a row's output grows with the width.
  public var learningRate = 0.01
  /// Added to the diagonal of the normal equations, as a part of its mean.
  public var ridge = 1e-4

  public init() {}

  /// Where decay and convolution can start.
  struct Start: Sendable, Hashable {
    let seeding: AttentionSeeding
    /// A of every head is multiplied by this.
    let decay: Float

    static let all = [
      Start(seeding: .paper, decay: 1), Start(seeding: .identity, decay: 1),
      Start(seeding: .identity, decay: 0.25), Start(seeding: .identity, decay: 4),
    ]
  }

  /// How far a mixer is from attention on the examples held back: the mean over sequences of
  /// ‖mixer − attention‖, which is the layer loss of training.
  public struct Residuals: Sendable, Hashable {
    /// As the paper seeds.
    public let seeded: Double
    /// From the best start, with the output projection solved for.
    public let solved: Double
    /// In the end.
    public let calibrated: Double
    /// The pass that was kept; 0: none was better than the start.
    public let pass: Int
  }
}

extension Mamba2Mixer {
  /// A mixer seeded from attention and fitted to what it does; in float32, with parameters of its
  /// own.
  ///
  /// - Parameters:
  ///   - path: what checkpoint names begin with: `….layers.4.mamba`.
  ///   - examples: what is fitted.
  ///   - heldBack: what candidates are compared on.
  ///   - seed: draws what is neither copied nor solved for.
  /// - Throws: ``LinearAlgebra/Failure`` when no output projection can be solved for.
  /// - Precondition: there are examples of both kinds, and the attention has the configuration's
  ///   widths.
  public static func calibrated(
    _ configuration: Mamba2Configuration, named path: String,
    seededFrom attention: AttentionProjections, to examples: [MixerExample],
    heldBack: [MixerExample], _ calibration: MixerCalibration, seed: UInt64
  ) throws -> (mixer: Mamba2Mixer, residuals: MixerCalibration.Residuals) {
    require(!examples.isEmpty && !heldBack.isEmpty, "calibrated: no examples")
    let candidates = MixerCalibration.Start.all.map { start in
      let mixer = Mamba2Mixer(
        configuration, named: path, seededFrom: attention, start.seeding, seed: seed)
      mixer.scaleDecay(by: start.decay)
      return mixer
    }
    let seeded = candidates[0].residual(on: heldBack)
    let solved = try candidates.map { mixer in
      try mixer.solveOutput(for: examples, ridge: calibration.ridge)
      return mixer.residual(on: heldBack)
    }
    // Comparisons with a number that is undefined fail: such a candidate is never the best.
    let best = solved.indices.reduce(0) { solved[$1] < solved[$0] ? $1 : $0 }
    var fit = MixerFit(candidates[best], residual: solved[best])
    try fit.descend(on: examples, heldBack: heldBack, calibration)
    return (
      candidates[best],
      MixerCalibration.Residuals(
        seeded: seeded, solved: solved[best], calibrated: fit.residual, pass: fit.pass)
    )
  }

  private func scaleDecay(by factor: Float) {
    let device = aLog.value.device
    aLog.assign(Tensor(aLog.value.array().map { $0 + log(factor) }, aLog.shape, on: device))
  }

  /// The mean over sequences of ‖mixer − attention‖.
  func residual(on examples: some Sequence<MixerExample>) -> Double {
    withoutGradients {
      var (sum, sequences) = (0.0, 0)
      for example in examples {
        let norms = distance(of: self(example.input, example.layout), from: example, weight: 1)
          .norms.array()
        sum += norms.reduce(0) { $0 + Double($1) }
        sequences += norms.count
      }
      return sum / Double(sequences)
    }
  }

  /// Σ over sequences of weight · ‖rows − attention‖.
  func distance(of rows: Tensor, from example: MixerExample, weight: Float) -> Distance {
    let sequences = example.layout.segments.count
    return MaTVLMTensor.distance(
      rows, to: example.output, example.layout.segments,
      weights: Tensor(
        Array(repeating: weight, count: sequences), [sequences], on: rows.device))
  }

  /// Gives the output projection the values that bring these rows closest to attention.
  func solveOutput(
    for examples: some Sequence<MixerExample>, ridge: Double
  ) throws(LinearAlgebra.Failure) {
    var equations = NormalEquations(
      inputs: configuration.innerWidth, outputs: configuration.modelWidth,
      hasBias: outputProjection.bias != nil)
    for example in examples {
      let inner = withoutGradients { mix(inputProjection(example.input), example.layout) }
      equations.add(inner, example.output)
    }
    let solution = try equations.solve(ridge: ridge)
    let weight = outputProjection.weight
    weight.assign(Tensor(solution.weight, weight.shape, on: weight.value.device))
    if let values = solution.bias, let bias = outputProjection.bias {
      bias.assign(Tensor(values, bias.shape, on: bias.value.device))
    }
  }
}
