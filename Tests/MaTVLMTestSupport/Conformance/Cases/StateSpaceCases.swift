import MaTVLMTensor

extension OperationCase {
  private static let geometries = [
    StateSpaceGeometry(heads: 1, groups: 1, headWidth: 16, stateWidth: 16, chunk: 8),
    StateSpaceGeometry(heads: 4, groups: 2, headWidth: 16, stateWidth: 24, chunk: 16),
    StateSpaceGeometry(heads: 2, groups: 2, headWidth: 80, stateWidth: 80, chunk: 64),
    StateSpaceGeometry(heads: 3, groups: 1, headWidth: 72, stateWidth: 16, chunk: 32),
    StateSpaceGeometry(heads: 2, groups: 1, headWidth: 5, stateWidth: 7, chunk: 4),
    StateSpaceGeometry(heads: 1, groups: 1, headWidth: 16, stateWidth: 16, chunk: 256),
  ]

  /// None, one row, less than a chunk, whole chunks, and more.
  private static let lengths = [
    [0], [1], [7], [64], [37], [5, 0, 9], [130], [1, 70, 3], [0, 300],
  ]

  static let scans: [OperationCase] =
    geometries.flatMap { geometry in
      lengths.map { lengths in
        OperationCase("scan \(lengths), \(geometry.text)", .chain) { inputs in
          let segments = Segments(lengths)
          let source = inputs.scan(geometry, rows: segments.rows)
          return scanned(source, geometry, segments, &inputs)
        }
      }
    } + extremeSteps

  /// Steps so small that the state hardly moves, and so large that nothing of it is left.
  private static let extremeSteps = [-30.0, -8, 15, 25, 60].map { mean in
    let geometry = geometries[1]
    return OperationCase("scan with steps softplus(\(mean))", .chain) { inputs in
      let source = inputs.scan(geometry, rows: 37, meanStep: mean)
      return scanned(source, geometry, Segments([37]), &inputs)
    }
  }

  private static func scanned(
    _ source: StateSpaceInputs, _ geometry: StateSpaceGeometry, _ segments: Segments,
    _ inputs: inout CaseInputs
  ) -> [CaseOutput] {
    let backend = inputs.backend
    let y = backend.stateSpaceDuality(source, geometry, segments, states: nil)
    let dy = inputs.activations(y.shape)
    let gradient = backend.stateSpaceDualityGradient(dy, source, geometry, segments)
    return [
      .activation("y", y), .activation("dx", gradient.x), .activation("db", gradient.b),
      .activation("dc", gradient.c), .activation("ddt", gradient.dt),
      .float32("ddtBias", gradient.dtBias), .float32("daLog", gradient.aLog),
      .float32("dd", gradient.d),
    ]
  }

  /// States carried over prompts in pieces and single rows.
  static let scanPieces: [OperationCase] = geometries.map { geometry in
    OperationCase("scan in pieces, \(geometry.text)", .chain) { inputs in
      let shape: Shape = [geometry.heads, geometry.headWidth, geometry.stateWidth]
      let states = [inputs.state(shape), inputs.state(shape)]
      return [[5, 3], [1, 1], [33, 0], [0, 1], [1, 20], [1, 1]].flatMap { lengths in
        let source = inputs.scan(geometry, rows: lengths.reduce(0, +))
        let y = inputs.backend.stateSpaceDuality(
          source, geometry, Segments(lengths), states: states)
        return [CaseOutput.activation("y of \(lengths)", y)]
          + states.enumerated().map { index, state in
            .float32("state \(index) after \(lengths)", inputs.copy(state))
          }
      }
    }
  }
}

extension OperationCase {
  /// The whole middle of a mixer, its states carried over prompts in pieces and single rows.
  static let mixers: [OperationCase] = [(2, 2, 80, 4), (3, 3, 16, 4), (4, 2, 16, 4), (1, 1, 6, 3)]
    .map { heads, groups, width, taps in
      let geometry = StateSpaceGeometry(
        heads: heads, groups: groups, headWidth: width, stateWidth: width, chunk: 16)
      return OperationCase("mixer, \(geometry.text), \(taps) taps", .chain) { inputs in
        let widths = geometry.widths
        let channels = widths.x + widths.b + widths.c
        let weights = inputs.mixerWeights(geometry, taps: taps)
        let states = (0..<2).map { _ in inputs.state([heads, width, width]) }
        let tails = (0..<2).map { _ in inputs.state([taps - 1, channels]) }
        return [[5, 3], [1, 1], [1, 1], [0, 1], [1, 20], [1, 1]].flatMap { lengths in
          let segments = Segments(lengths)
          let projected = inputs.activations([segments.rows, widths.output + channels + heads])
          let y = inputs.backend.mix(
            ContinuingMixer(projected, weights, geometry, segments, tails: tails, states: states))
          return [CaseOutput.activation("y of \(lengths)", y)]
            + (states + tails).enumerated().map { index, state in
              .float32("state \(index) after \(lengths)", inputs.copy(state))
            }
        }
      }
    }
}

extension CaseInputs {
  /// Parameters of a mixer's middle.
  mutating func mixerWeights(_ geometry: StateSpaceGeometry, taps: Int) -> MixerWeights {
    let (widths, heads) = (geometry.widths, geometry.heads)
    let channels = geometry.convolvedWidths.reduce(0, +)
    return MixerWeights(
      convolution: vector([channels, 1, taps], deviation: 0.5), convolutionBias: vector([channels]),
      stepBias: vector([heads]), aLog: vector([heads], mean: 0.5), skip: vector([heads], mean: 1),
      norm: vector([widths.output], mean: 1), epsilon: 1e-5)
  }
}

extension StateSpaceGeometry {
  fileprivate var text: String {
    "\(heads)/\(groups) heads of \(headWidth) by \(stateWidth), chunk \(chunk)"
  }
}

extension CaseInputs {
  /// Inputs as a mixer makes them: decays between nearly 0 and nearly 1.
  fileprivate mutating func scan(
    _ geometry: StateSpaceGeometry, rows: Int, meanStep: Double = -1
  ) -> StateSpaceInputs {
    StateSpaceInputs(
      x: activations([rows, geometry.groups * geometry.headWidth]),
      b: activations([rows, geometry.groups * geometry.stateWidth]),
      c: activations([rows, geometry.heads * geometry.stateWidth]),
      dt: activations([rows, geometry.heads]),
      dtBias: vector([geometry.heads], mean: meanStep),
      aLog: vector([geometry.heads], mean: 0.5), d: vector([geometry.heads], mean: 1))
  }
}
