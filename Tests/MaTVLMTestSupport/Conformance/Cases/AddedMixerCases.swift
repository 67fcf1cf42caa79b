import MaTVLMTensor

/// The end of a decoder block for a row that comes after others: a Mamba-2 mixer and what is added
/// beside it.
extension OperationCase {
  static let addedMixers = [
    (1, 4, 4, 80, 4), (1, 3, 3, 16, 4), (1, 40, 40, 8, 4), (1, 4, 2, 16, 4), (1, 1, 1, 6, 3),
    (2, 2, 2, 80, 4),
  ].map(addedMixer)

  private static func addedMixer(
    sequences: Int, heads: Int, groups: Int, headWidth: Int, taps: Int
  ) -> OperationCase {
    let geometry = StateSpaceGeometry(
      heads: heads, groups: groups, headWidth: headWidth, stateWidth: headWidth, chunk: 16)
    let name = "addMixer of \(sequences), \(heads)/\(groups) heads of \(headWidth), \(taps) taps"
    return OperationCase(name, .chain) { inputs in
      let block = AddedMixer(geometry, taps: taps, sequences: sequences, &inputs)
      return [1, 1, 5, 1, 1].flatMap { block.rows($0, &inputs) }
    }
  }
}

/// A block's layers and states.
private struct AddedMixer {
  let geometry: StateSpaceGeometry
  let layers: [Projection]
  let output: Projection
  let fc2: Projection
  let weights: MixerWeights
  let tails: [Tensor]
  let states: [Tensor]

  /// Wide enough for every block of a large card to have some of it.
  static let width = 320

  init(
    _ geometry: StateSpaceGeometry, taps: Int, sequences: Int, _ inputs: inout CaseInputs
  ) {
    self.geometry = geometry
    let (widths, heads) = (geometry.widths, geometry.heads)
    let channels = geometry.convolvedWidths.reduce(0, +)
    let hidden = 4 * widths.output
    layers = [(widths.output + channels + heads, nil), (hidden, Activation.geluTanh)].map {
      Projection(
        weight: inputs.matrix($0, Self.width), bias: inputs.vector([$0]), activation: $1)
    }
    output = Projection(
      weight: inputs.matrix(Self.width, widths.output), bias: inputs.vector([Self.width]))
    fc2 = Projection(weight: inputs.matrix(Self.width, hidden), bias: inputs.vector([Self.width]))
    weights = inputs.mixerWeights(geometry, taps: taps)
    states = (0..<sequences).map { _ in
      inputs.state([heads, geometry.headWidth, geometry.stateWidth])
    }
    tails = (0..<sequences).map { _ in inputs.state([taps - 1, channels]) }
  }

  /// Lets each sequence go on by so many rows at once.
  func rows(_ count: Int, _ inputs: inout CaseInputs) -> [CaseOutput] {
    let segments = Segments(states.map { _ in count })
    let x = inputs.activations([segments.rows, Self.width])
    let made = inputs.backend.linear(x, layers)
    let mixer = ContinuingMixer(
      made[0], weights, geometry, segments, tails: tails, states: states)
    let sum = inputs.backend.addMixer(
      to: x, mixer, output, beside: [LinearTerm(made[1], fc2)])
    return [.activation("\(count) rows", sum)]
      + (states + tails).enumerated().map { index, state in
        .float32("state \(index) after \(count)", inputs.copy(state))
      }
  }
}
