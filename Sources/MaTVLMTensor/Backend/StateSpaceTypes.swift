/// How the columns of a scan divide (specification of Mamba-2, arXiv:2405.21060, section 6).
package struct StateSpaceGeometry: Sendable, Hashable {
  /// Heads H: dt, A, D and C have this many.
  package let heads: Int
  /// Heads G of x and B; head h uses x and B head h / (H / G).
  package let groups: Int
  /// Columns of a head of x, P.
  package let headWidth: Int
  /// Columns of a head of B and C, N.
  package let stateWidth: Int
  /// Rows that are multiplied out against each other at once, Q; the result does not depend on it
  /// but for rounding.
  package let chunk: Int

  package init(heads: Int, groups: Int, headWidth: Int, stateWidth: Int, chunk: Int) {
    require(
      heads > 0 && groups > 0 && heads % groups == 0 && chunk > 0,
      "stateSpaceDuality: \(heads) heads share \(groups) groups, chunk \(chunk)")
    self.heads = heads
    self.groups = groups
    self.headWidth = headWidth
    self.stateWidth = stateWidth
    self.chunk = chunk
  }
}

extension StateSpaceGeometry {
  /// Columns of a scan's inputs and of its output.
  package var widths: (x: Int, b: Int, c: Int, output: Int) {
    (groups * headWidth, groups * stateWidth, heads * stateWidth, heads * headWidth)
  }

  /// Columns of the parts of what `in_proj` of a mixer makes: z, x, B, C, Δ.
  package var projectedWidths: [Int] { [widths.output] + convolvedWidths + [heads] }

  /// Those of them that are convolved: x, B, C.
  package var convolvedWidths: [Int] { [widths.x, widths.b, widths.c] }
}

/// The parameters of the middle of a Mamba-2 mixer, all float32.
package struct MixerWeights: Sendable {
  /// [x | B | C, 1, K]
  package let convolution: Tensor
  /// [x | B | C]
  package let convolutionBias: Tensor
  /// [H], as are `aLog` and `skip`.
  package let stepBias: Tensor
  package let aLog: Tensor
  package let skip: Tensor
  /// [H·P]
  package let norm: Tensor
  /// Of the norm.
  package let epsilon: Float

  package init(
    convolution: Tensor, convolutionBias: Tensor, stepBias: Tensor, aLog: Tensor, skip: Tensor,
    norm: Tensor, epsilon: Float
  ) {
    (self.convolution, self.convolutionBias) = (convolution, convolutionBias)
    (self.stepBias, self.aLog, self.skip) = (stepBias, aLog, skip)
    (self.norm, self.epsilon) = (norm, epsilon)
  }
}

/// New rows of a Mamba-2 mixer, and what the sequences that they belong to have left behind.
package struct ContinuingMixer: Sendable {
  /// [T, z | x | B | C | Δ]
  package let projected: Tensor
  package let weights: MixerWeights
  package let geometry: StateSpaceGeometry
  package let segments: Segments
  /// float32 [K − 1, x | B | C] for each segment; moved on in place.
  package let tails: [Tensor]
  /// float32 [H, P, N] for each segment; moved on in place.
  package let states: [Tensor]

  package init(
    _ projected: Tensor, _ weights: MixerWeights, _ geometry: StateSpaceGeometry,
    _ segments: Segments, tails: [Tensor], states: [Tensor]
  ) {
    (self.projected, self.weights, self.geometry) = (projected, weights, geometry)
    (self.segments, self.tails, self.states) = (segments, tails, states)
  }
}

/// What goes into a scan, or the gradient of each of these.
///
/// Δ = softplus(dt + dtBias), A = −exp(aLog); per head
/// h_t = exp(Δ_t A) h_{t−1} + Δ_t x_t B_tᵀ, y_t = h_t C_t + d x_t.
package struct StateSpaceInputs: Sendable {
  /// [T, G·P]
  package var x: Tensor
  /// [T, G·N]
  package var b: Tensor
  /// [T, H·N]
  package var c: Tensor
  /// [T, H], before bias and softplus
  package var dt: Tensor
  /// float32 [H]
  package var dtBias: Tensor
  /// float32 [H]
  package var aLog: Tensor
  /// float32 [H]
  package var d: Tensor

  package init(
    x: Tensor, b: Tensor, c: Tensor, dt: Tensor, dtBias: Tensor, aLog: Tensor, d: Tensor
  ) {
    (self.x, self.b, self.c, self.dt) = (x, b, c, dt)
    (self.dtBias, self.aLog, self.d) = (dtBias, aLog, d)
  }
}
