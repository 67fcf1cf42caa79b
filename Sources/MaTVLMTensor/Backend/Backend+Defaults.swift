/// What a device need not say: it has nothing to gain from doing these at once.
extension Backend {
  package var cacheTypes: [DType] { [activationType] }
  package var failure: (any Error)? { nil }
  package var holdsQuantizedWeights: Bool { false }
  package var memoryInUse: Int? { nil }
  package func releaseUnusedMemory(beside tensors: [Tensor]) {}
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

  package func mix(_ mixer: ContinuingMixer) -> Tensor { mixByParts(mixer) }

  /// What ``mix(_:)`` means; a device falls back on it where its own way has limits.
  package func mixByParts(_ mixer: ContinuingMixer) -> Tensor {
    let (weights, geometry, segments) = (mixer.weights, mixer.geometry, mixer.segments)
    let parts = mixerParts(
      mixer.projected, weights.convolution, weights.convolutionBias, geometry, segments,
      tails: mixer.tails)
    let inputs = StateSpaceInputs(
      x: parts[1], b: parts[2], c: parts[3], dt: parts[4], dtBias: weights.stepBias,
      aLog: weights.aLog, d: weights.skip)
    let y = stateSpaceDuality(inputs, geometry, segments, states: mixer.states)
    return gatedRMSNorm(
      y, gate: parts[0], weights.norm, groupWidth: geometry.headWidth, epsilon: weights.epsilon)
  }

  package func addMixer(
    to stream: Tensor, _ mixer: ContinuingMixer, _ output: Projection, beside terms: [LinearTerm]
  ) -> Tensor {
    addMixerByParts(to: stream, mixer, output, beside: terms)
  }

  /// What ``addMixer(to:_:_:beside:)`` means; a device falls back on it where its own way has limits.
  package func addMixerByParts(
    to stream: Tensor, _ mixer: ContinuingMixer, _ output: Projection, beside terms: [LinearTerm]
  ) -> Tensor {
    addLinear(stream, [LinearTerm(mix(mixer), output)] + terms)
  }

  package func mixerParts(
    _ projected: Tensor, _ weight: Tensor, _ bias: Tensor, _ geometry: StateSpaceGeometry,
    _ segments: Segments, tails: [Tensor]?
  ) -> [Tensor] {
    mixerPartsByColumns(projected, weight, bias, geometry, segments, tails: tails)
  }

  /// What ``mixerParts`` means; a device falls back on it where its own way has limits.
  package func mixerPartsByColumns(
    _ projected: Tensor, _ weight: Tensor, _ bias: Tensor, _ geometry: StateSpaceGeometry,
    _ segments: Segments, tails: [Tensor]?
  ) -> [Tensor] {
    let parts = splitColumns(projected, geometry.outerWidths)
    let convolved = causalConvolution(parts[1], weight, bias, segments, tails: tails)
    return [parts[0]] + splitColumns(convolved, geometry.convolvedWidths) + [parts[2]]
  }

  package func mixerPartsGradient(
    _ parts: [Tensor?], _ projected: Tensor, _ weight: Tensor, _ bias: Tensor,
    _ geometry: StateSpaceGeometry, _ segments: Segments
  ) -> (projected: Tensor, weight: Tensor, bias: Tensor) {
    mixerPartsGradientByColumns(parts, projected, weight, bias, geometry, segments)
  }

  /// What ``mixerPartsGradient`` means; a device falls back on it where its own way has limits.
  package func mixerPartsGradientByColumns(
    _ parts: [Tensor?], _ projected: Tensor, _ weight: Tensor, _ bias: Tensor,
    _ geometry: StateSpaceGeometry, _ segments: Segments
  ) -> (projected: Tensor, weight: Tensor, bias: Tensor) {
    let gradient = causalConvolutionGradient(
      joinColumns(Array(parts[1...3]), widths: geometry.convolvedWidths),
      splitColumns(projected, geometry.outerWidths)[1], weight, bias, segments)
    return (
      joinColumns([parts[0], gradient.x, parts[4]], widths: geometry.outerWidths),
      gradient.weight, gradient.bias
    )
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

extension StateSpaceGeometry {
  /// z, what is convolved, Δ.
  fileprivate var outerWidths: [Int] {
    [widths.output, convolvedWidths.reduce(0, +), heads]
  }
}
