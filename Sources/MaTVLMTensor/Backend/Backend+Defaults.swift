/// What a device need not say: it has nothing to gain from doing these at once.
extension Backend {
  package var cacheTypes: [DType] { [activationType] }
  package var failure: (any Error)? { nil }
  package var holdsQuantizedWeights: Bool { false }
  package var memoryInUse: Int? { nil }
  package func releaseKeptMemory() {}
  package var holdsValues: Bool { true }
  package func record(_ body: () -> [Tensor]) -> (any RecordedWork)? { nil }

  package func linear(_ x: Tensor, _ projections: [Projection]) -> [Tensor] {
    projections.map { layer in
      let y = linear(x, layer.weight, layer.bias)
      return layer.activation.map { activate(y, $0) } ?? y
    }
  }

  package func addLinear(_ stream: Tensor, _ terms: [LinearTerm]) -> Tensor {
    addLinearByParts(stream, terms)
  }

  /// What ``addLinear`` means; a device falls back on it where its own way has limits.
  package func addLinearByParts(_ stream: Tensor, _ terms: [LinearTerm]) -> Tensor {
    terms.reduce(stream) { add($0, linear($1.x, $1.projection.weight, $1.projection.bias)) }
  }

  package func linearInputGradient(
    _ dy: Tensor, _ weight: Tensor, through activation: Activation, of x: Tensor
  ) -> Tensor {
    activateGradient(linearInputGradient(dy, weight), x, activation)
  }

  package func linearInputGradient(_ terms: [(dy: Tensor, weight: Tensor)]) -> Tensor {
    terms.dropFirst().reduce(linearInputGradient(terms[0].dy, terms[0].weight)) {
      add($0, linearInputGradient($1.dy, $1.weight))
    }
  }

  package func mixer(
    _ projected: Tensor, _ weights: MixerWeights, _ geometry: StateSpaceGeometry,
    _ segments: Segments, tails: [Tensor], states: [Tensor]
  ) -> Tensor {
    mixerByParts(projected, weights, geometry, segments, tails: tails, states: states)
  }

  /// What ``mixer`` means; a device falls back on it where its own way has limits.
  package func mixerByParts(
    _ projected: Tensor, _ weights: MixerWeights, _ geometry: StateSpaceGeometry,
    _ segments: Segments, tails: [Tensor], states: [Tensor]
  ) -> Tensor {
    let (z, inputs) = scanInputs(projected, weights, geometry, segments, tails: tails)
    let y = stateSpaceDuality(inputs, geometry, segments, states: states)
    return gatedRMSNorm(
      y, gate: z, weights.norm, groupWidth: geometry.headWidth, epsilon: weights.epsilon)
  }

  /// The gate, and what the scan takes. A function of its own, so that what was convolved, as large as both,
  /// is gone before the scan needs memory.
  private func scanInputs(
    _ projected: Tensor, _ weights: MixerWeights, _ geometry: StateSpaceGeometry,
    _ segments: Segments, tails: [Tensor]
  ) -> (z: Tensor, inputs: StateSpaceInputs) {
    let widths = geometry.widths
    let parts = splitColumns(
      projected, [widths.output, widths.x + widths.b + widths.c, geometry.heads])  // z, xBC, Δ
    let convolved = causalConvolution(
      parts[1], weights.convolution, weights.convolutionBias, segments, tails: tails)
    let xBC = splitColumns(convolved, [widths.x, widths.b, widths.c])
    let inputs = StateSpaceInputs(
      x: xBC[0], b: xBC[1], c: xBC[2], dt: parts[2], dtBias: weights.stepBias,
      aLog: weights.aLog, d: weights.skip)
    return (parts[0], inputs)
  }

  package func attend(_ attention: AppendingAttention) -> Tensor { attendByParts(attention) }

  /// What ``attend(_:)`` means; a device falls back on it where its own way has limits.
  package func attendByParts(_ attention: AppendingAttention) -> Tensor {
    let (rows, geometry) = (attention.rows, attention.geometry)
    func rotated(_ x: Tensor, heads: Int) -> Tensor {
      rotate(x, rows.table, positions: rows.positions, heads: heads, inverse: false)
    }
    let k = rotated(rows.key, heads: geometry.keyValueHeads)
    appendRows(k, to: attention.keys, positions: rows.positions, attention.segments)
    appendRows(rows.value, to: attention.values, positions: rows.positions, attention.segments)
    return cachedAttention(
      rotated(rows.query, heads: geometry.heads), keys: attention.keys, values: attention.values,
      positions: rows.positions, geometry, attention.segments)
  }

  package func addAttention(
    to stream: Tensor, _ attention: AppendingAttention, _ output: Projection,
    beside terms: [LinearTerm]
  ) -> Tensor {
    addAttentionByParts(to: stream, attention, output, beside: terms)
  }

  /// What ``addAttention(to:_:_:beside:)`` means; a device falls back on it where its own way has
  /// limits.
  package func addAttentionByParts(
    to stream: Tensor, _ attention: AppendingAttention, _ output: Projection,
    beside terms: [LinearTerm]
  ) -> Tensor {
    addLinear(stream, [LinearTerm(attend(attention), output)] + terms)
  }
}
