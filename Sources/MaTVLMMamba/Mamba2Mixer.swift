import MaTVLMTensor

/// The Mamba-2 mixer of MaTVLM, in the shape of the attention that it replaces: one class for
/// training and for decoding (the authors' `mamba2/hybrid_mamba_layer.py`).
///
/// Rows of `in_proj` are z | x | B | C | Δ. The convolution and its SiLU act on x, B and C; the scan
/// on all but z; then comes the gate, silu(z), and after it the norm of each head.
public struct Mamba2Mixer: Layer {
  public let configuration: Mamba2Configuration
  /// [z | x | B | C | Δ, D]
  public let inputProjection: Linear
  /// [x | B | C, 1, K]; the last tap is the present row.
  public let convolutionWeight: Parameter
  /// [x | B | C]
  public let convolutionBias: Parameter
  /// A = −exp(aLog): [H]
  public let aLog: Parameter
  /// How much of x passes by the scan: [H]
  public let skip: Parameter
  /// Added to Δ before softplus: [H]
  public let stepBias: Parameter
  /// [D]
  public let normWeight: Parameter
  public let outputProjection: Linear

  /// Reads a mixer in the authors' names.
  ///
  /// Biases of the projections are taken when the file has them, whatever the configuration says:
  /// the authors' own reader ignores `is_bias`.
  /// - Throws: when a tensor is missing or has another shape.
  public init(_ configuration: Mamba2Configuration, _ source: ParameterSource) throws {
    let width = configuration.modelWidth
    let bias = configuration.hasProjectionBias || source.contains("in_proj.bias")
    let initial = MixerInitialization(configuration)
    self.configuration = configuration
    inputProjection = Linear(
      weight: try source["in_proj"].matrix(
        "weight", [configuration.projectionWidth, width], initial.projection),
      bias: bias
        ? try source["in_proj"].vector("bias", configuration.projectionWidth, initial.projection)
        : nil)
    convolutionWeight = try source["conv1d"].vector(
      "weight", shape: [configuration.convolutionWidth, 1, configuration.taps],
      initial.convolution)
    convolutionBias = try source["conv1d"].vector(
      "bias", configuration.convolutionWidth, initial.convolution)
    aLog = try source.vector("A_log", configuration.heads, initial.aLog)
    skip = try source.vector("D", configuration.heads, .ones)
    stepBias = try source.vector("dt_bias", configuration.heads, initial.stepBias)
    normWeight = try source["norm"].vector("weight", configuration.innerWidth, .ones)
    outputProjection = Linear(
      weight: try source["out_proj"].matrix(
        "weight", [width, configuration.innerWidth], initial.projection),
      bias: bias ? try source["out_proj"].vector("bias", width, initial.projection) : nil)
  }

  /// Whole sequences from a zero state: u [T, D], already layer-normed → [T, D].
  public func callAsFunction(_ u: Tensor, _ layout: SequenceLayout) -> Tensor {
    outputProjection(mix(inputProjection(u), layout))
  }

  /// Sequences that go on, one state for each segment: u [T, D] → [T, D].
  public func callAsFunction(
    _ u: Tensor, _ layout: SequenceLayout, states: [Mamba2State]
  ) -> Tensor {
    outputProjection(mix(inputProjection(u), layout, states: states))
  }

  /// Whole sequences from a zero state: what ``inputProjection`` made → what ``outputProjection``
  /// takes, [T, inner].
  public func mix(_ projected: Tensor, _ layout: SequenceLayout) -> Tensor {
    let (z, inputs) = scanInputs(projected, layout)
    let y = stateSpaceDuality(inputs, configuration.geometry, layout.segments)
    return gatedRMSNorm(
      y, gate: z, normWeight.value, groupWidth: configuration.stateWidth,
      epsilon: Mamba2Configuration.normEpsilon)
  }

  /// What the scan makes its matrices of, and the gate z [T, inner], from what ``inputProjection``
  /// made.
  package func scanInputs(
    _ projected: Tensor, _ layout: SequenceLayout
  ) -> (z: Tensor, inputs: StateSpaceInputs) {
    let parts = mixerParts(
      projected, convolutionWeight.value, convolutionBias.value, configuration.geometry,
      layout.segments)
    let inputs = StateSpaceInputs(
      x: parts[1], b: parts[2], c: parts[3], dt: parts[4], dtBias: stepBias.value,
      aLog: aLog.value, d: skip.value)
    return (parts[0], inputs)
  }

  /// Sequences that go on: as above, with one state for each segment.
  public func mix(
    _ projected: Tensor, _ layout: SequenceLayout, states: [Mamba2State]
  ) -> Tensor {
    projected.backend.mix(continuing(projected, layout, states: states))
  }

  /// What ``inputProjection`` made of new rows, with one state for each segment, which they move on.
  package func continuing(
    _ projected: Tensor, _ layout: SequenceLayout, states: [Mamba2State]
  ) -> ContinuingMixer {
    ContinuingMixer(
      projected, weights, configuration.geometry, layout.segments, tails: states.map(\.tail),
      states: states.map(\.state))
  }

  /// Rows of ``inputProjection`` that seeding does not copy from attention: z and Δ.
  package var newRows: [Range<Int>] {
    let rows = configuration.projectionWidth
    return [0..<configuration.innerWidth, rows - configuration.heads..<rows]
  }

  /// What seeding copies no row of.
  package var newParameters: [Parameter] {
    [stepBias, aLog, skip, convolutionWeight, convolutionBias, normWeight]
  }

  private var weights: MixerWeights {
    MixerWeights(
      convolution: convolutionWeight.value, convolutionBias: convolutionBias.value,
      stepBias: stepBias.value, aLog: aLog.value, skip: skip.value, norm: normWeight.value,
      epsilon: Mamba2Configuration.normEpsilon)
  }

  public var parameters: [Parameter] {
    [stepBias, aLog, skip] + inputProjection.parameters + [convolutionWeight, convolutionBias]
      + [normWeight] + outputProjection.parameters
  }
}
