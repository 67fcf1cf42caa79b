import CMaTVLMKernels

extension CountingBackend {
  package func rotate(
    _ x: Tensor, _ table: Tensor, positions: Tensor, heads: Int, inverse: Bool
  ) -> Tensor {
    count(
      OperationCount(
        "rotate", 3 * elements(x), [.init(x), .init(table), .init(positions)], details: [heads]
      ) { $0.rotate($1[0], $1[1], positions: $1[2], heads: heads, inverse: inverse) })
    return new(x.shape, x.dtype)
  }

  package func attention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, _ geometry: AttentionGeometry, _ segments: Segments
  ) -> (output: Tensor, logSumExp: Tensor) {
    count(
      OperationCount(
        "attention", operations(geometry, segments), [.init(q), .init(k), .init(v)],
        details: [geometry.heads] + segments.lengths
      ) { $0.attention($1[0], $1[1], $1[2], geometry, segments).output })
    return (new(q.shape, q.dtype), new([segments.rows, geometry.heads], .float32))
  }

  package func attentionGradient(
    _ dy: Tensor, _ q: Tensor, _ k: Tensor, _ v: Tensor, output: Tensor, logSumExp: Tensor,
    _ geometry: AttentionGeometry, _ segments: Segments
  ) -> (q: Tensor, k: Tensor, v: Tensor) {
    let longest = segments.lengths.max() ?? 0
    work(
      bytes: 4 * concurrent(segments.count * geometry.keyValueHeads)
        * matvlm_attention_gradient_scratch(longest, geometry.headWidth))
    count(
      OperationCount(
        "attentionGradient", 2.5 * operations(geometry, segments),
        [dy, q, k, v, output, logSumExp].map { .init($0) },
        details: [geometry.heads] + segments.lengths
      ) {
        $0.attentionGradient(
          $1[0], $1[1], $1[2], $1[3], output: $1[4], logSumExp: $1[5], geometry, segments
        ).q
      })
    return (new(q.shape, q.dtype), new(k.shape, k.dtype), new(v.shape, v.dtype))
  }

  /// Scores and weighted values, of what a row sees.
  private func operations(_ geometry: AttentionGeometry, _ segments: Segments) -> Double {
    let pairs = segments.lengths.reduce(0.0) { sum, length in
      let rows = Double(length)
      return sum + rows * (geometry.isCausal ? (rows + 1) / 2 : rows)
    }
    return 4 * pairs * Double(geometry.heads * geometry.headWidth)
  }

  // MARK: Mamba-2

  package func causalConvolution(
    _ x: Tensor, _ weight: Tensor, _ bias: Tensor, _ segments: Segments, tails: [Tensor]?
  ) -> Tensor {
    count(
      OperationCount(
        "causalConvolution", 2 * elements(x) * Double(weight.shape.width),
        [.init(x), .init(weight), .init(bias)], details: segments.lengths
      ) { $0.causalConvolution($1[0], $1[1], $1[2], segments, tails: nil) })
    return new(x.shape, x.dtype)
  }

  package func causalConvolutionGradient(
    _ dy: Tensor, _ x: Tensor, _ weight: Tensor, _ bias: Tensor, _ segments: Segments
  ) -> (x: Tensor, weight: Tensor, bias: Tensor) {
    let blocks = segments.blocks(of: Int(MATVLM_CONVOLUTION_ROWS)).count
    work(bytes: 4 * blocks * (weight.shape.width + 1) * x.shape.width)
    count(
      OperationCount(
        "causalConvolutionGradient", 4 * elements(x) * Double(weight.shape.width),
        [.init(dy), .init(x), .init(weight), .init(bias)], details: segments.lengths
      ) { $0.causalConvolutionGradient($1[0], $1[1], $1[2], $1[3], segments).x })
    return (
      new(x.shape, x.dtype), new(weight.shape, .float32, .gradients),
      new(bias.shape, .float32, .gradients)
    )
  }

  /// A card convolves columns where they lie; elsewhere they are cut out first.
  package func mixerParts(
    _ projected: Tensor, _ weight: Tensor, _ bias: Tensor, _ geometry: StateSpaceGeometry,
    _ segments: Segments, tails: [Tensor]?
  ) -> [Tensor] {
    guard isCard else {
      return mixerPartsByColumns(projected, weight, bias, geometry, segments, tails: tails)
    }
    count(
      OperationCount(
        "mixerParts", 2 * elements(weight) * Double(segments.rows),
        [projected, weight, bias].map { .init($0) }, details: segments.lengths
      ) { $0.mixerParts($1[0], $1[1], $1[2], geometry, segments, tails: nil)[1] })
    return geometry.projectedWidths.map { new([segments.rows, $0], projected.dtype) }
  }

  package func mixerPartsGradient(
    _ parts: [Tensor?], _ projected: Tensor, _ weight: Tensor, _ bias: Tensor,
    _ geometry: StateSpaceGeometry, _ segments: Segments
  ) -> (projected: Tensor, weight: Tensor, bias: Tensor) {
    guard isCard else {
      return mixerPartsGradientByColumns(parts, projected, weight, bias, geometry, segments)
    }
    let gradients = geometry.projectedWidths.map {
      OperationCount.Input([segments.rows, $0], projected.dtype)
    }
    count(
      OperationCount(
        "mixerPartsGradient", 4 * elements(weight) * Double(segments.rows),
        gradients + [projected, weight, bias].map { .init($0) }, details: segments.lengths
      ) {
        $0.mixerPartsGradient(Array($1[..<5]), $1[5], $1[6], $1[7], geometry, segments).projected
      })
    return (
      new(projected.shape, projected.dtype), new(weight.shape, .float32, .gradients),
      new(bias.shape, .float32, .gradients)
    )
  }

  package func stateSpaceDuality(
    _ inputs: StateSpaceInputs, _ geometry: StateSpaceGeometry, _ segments: Segments,
    states: [Tensor]?
  ) -> Tensor {
    workOfScan(geometry, segments, states: 1)
    count(
      OperationCount(
        "stateSpaceDuality", operations(geometry, segments), inputs.tensors.map { .init($0) },
        details: [geometry.heads] + segments.lengths
      ) { $0.stateSpaceDuality(StateSpaceInputs($1[0...]), geometry, segments, states: nil) })
    return new([segments.rows, geometry.widths.output], inputs.x.dtype)
  }

  package func stateSpaceDualityGradient(
    _ dy: Tensor, _ inputs: StateSpaceInputs, _ geometry: StateSpaceGeometry, _ segments: Segments
  ) -> StateSpaceInputs {
    let scratch = segments.lengths.max().map {
      matvlm_scan_gradient_scratch($0, geometry.headWidth, geometry.stateWidth, geometry.chunk)
    }
    work(bytes: 4 * concurrent(segments.count * geometry.groups) * (scratch ?? 0))
    workOfScan(geometry, segments, states: 2)
    count(
      OperationCount(
        "stateSpaceDualityGradient", 3 * operations(geometry, segments),
        ([dy] + inputs.tensors).map { .init($0) }, details: [geometry.heads] + segments.lengths
      ) {
        $0.stateSpaceDualityGradient($1[0], StateSpaceInputs($1[1...]), geometry, segments).x
      })
    func vector(_ x: Tensor) -> Tensor { new(x.shape, .float32, .gradients) }
    func rows(_ x: Tensor) -> Tensor { new(x.shape, x.dtype) }
    return StateSpaceInputs(
      x: rows(inputs.x), b: rows(inputs.b), c: rows(inputs.c), dt: rows(inputs.dt),
      dtBias: vector(inputs.dtBias), aLog: vector(inputs.aLog), d: vector(inputs.d))
  }

  /// Within chunks, rows against rows; between them, by way of the state.
  private func operations(_ geometry: StateSpaceGeometry, _ segments: Segments) -> Double {
    let (p, n) = (Double(geometry.headWidth), Double(geometry.stateWidth))
    let within = Double(geometry.chunk) * (n + p)
    return Double(segments.rows * geometry.heads) * (within + 4 * p * n)
  }

  /// A card keeps the states that enter chunks, and in the gradient those that leave.
  private func workOfScan(_ geometry: StateSpaceGeometry, _ segments: Segments, states: Int) {
    guard isCard else { return }
    let chunks = segments.lengths.reduce(0) { $0 + ($1 + 63) / 64 }
    work(
      bytes: 4 * states * chunks * geometry.heads * geometry.headWidth * geometry.stateWidth)
  }

  // MARK: Sequences that go on

  package func appendRows(
    _ x: Tensor, to caches: [Tensor], positions: Tensor, _ segments: Segments
  ) {}

  package func cachedAttention(
    _ q: Tensor, keys: [Tensor], values: [Tensor], positions: Tensor,
    _ geometry: AttentionGeometry, _ segments: Segments
  ) -> Tensor { new(q.shape, q.dtype) }
}

extension StateSpaceInputs {
  fileprivate var tensors: [Tensor] { [x, b, c, dt, dtBias, aLog, d] }

  /// In the order of ``tensors``.
  fileprivate init(_ tensors: ArraySlice<Tensor>) {
    let t = Array(tensors)
    self.init(x: t[0], b: t[1], c: t[2], dt: t[3], dtBias: t[4], aLog: t[5], d: t[6])
  }
}
