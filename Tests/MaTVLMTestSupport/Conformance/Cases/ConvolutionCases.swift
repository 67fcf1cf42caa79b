import MaTVLMTensor

extension OperationCase {
  static let convolutions: [OperationCase] =
    [
      ([0], 3, 4), ([1], 5, 4), ([2], 16, 4), ([7], 33, 4), ([5, 0, 9, 1], 24, 4), ([37], 80, 3),
      ([130], 17, 2), ([6, 6], 4, 1), ([3, 600], 300, 4),
    ].map { lengths, channels, taps in
      OperationCase("causalConvolution \(lengths), \(channels) channels, \(taps) taps", .chain) {
        inputs in
        let segments = Segments(lengths)
        let x = inputs.activations([segments.rows, channels])
        let dy = inputs.activations([segments.rows, channels])
        let (weight, bias) = (inputs.vector([channels, 1, taps]), inputs.vector([channels]))
        let backend = inputs.backend
        let gradient = backend.causalConvolutionGradient(dy, x, weight, bias, segments)
        return [
          .activation("y", backend.causalConvolution(x, weight, bias, segments, tails: nil)),
          .activation("dx", gradient.x), .float32("dweight", gradient.weight),
          .float32("dbias", gradient.bias),
        ]
      }
    } + [(24, 4), (5, 2), (33, 3)].map(convolutionPieces)
    + [
      ([7], 2, 2, 8, 4), ([40, 0, 3, 1, 90], 4, 2, 80, 4), ([33], 3, 3, 4, 4),
      ([9, 2], 2, 1, 3, 4),
      ([12], 2, 2, 8, 3),
    ].map { lengths, heads, groups, width, taps in
      mixerParts(
        lengths,
        StateSpaceGeometry(
          heads: heads, groups: groups, headWidth: width, stateWidth: width, chunk: 16), taps)
    }

  /// The parts of what a mixer's `in_proj` makes; gradients of all of them, and where some have none.
  private static func mixerParts(
    _ lengths: [Int], _ geometry: StateSpaceGeometry, _ taps: Int
  ) -> OperationCase {
    let widths = geometry.projectedWidths
    let name = "mixerParts \(lengths), \(widths) columns, \(taps) taps"
    return OperationCase(name, .chain) { inputs in
      let segments = Segments(lengths)
      let channels = geometry.convolvedWidths.reduce(0, +)
      let projected = inputs.activations([segments.rows, widths.reduce(0, +)])
      let gradients = widths.map { inputs.activations([segments.rows, $0]) }
      let (weight, bias) = (inputs.vector([channels, 1, taps]), inputs.vector([channels]))
      let backend = inputs.backend
      let parts = backend.mixerParts(
        projected, weight, bias, geometry, segments, tails: nil)
      let all = backend.mixerPartsGradient(
        gradients, projected, weight, bias, geometry, segments)
      let some = backend.mixerPartsGradient(
        [nil, gradients[1], nil, gradients[3], nil], projected, weight, bias, geometry, segments)
      return parts.enumerated().map { .activation("part \($0)", $1) } + [
        .activation("dprojected", all.projected), .float32("dweight", all.weight),
        .float32("dbias", all.bias), .activation("dprojected of some", some.projected),
        .float32("dweight of some", some.weight), .float32("dbias of some", some.bias),
      ]
    }
  }

  /// Sequences in pieces that are shorter and longer than the tail that is carried over.
  private static func convolutionPieces(_ channels: Int, _ taps: Int) -> OperationCase {
    OperationCase("causalConvolution in pieces, \(channels) channels, \(taps) taps", .chain) {
      inputs in
      let (weight, bias) = (inputs.vector([channels, 1, taps]), inputs.vector([channels]))
      let tails = [inputs.state([taps - 1, channels]), inputs.state([taps - 1, channels])]
      return [[1, 1], [2, 0], [0, 1], [7, 1], [1, 9]].flatMap { lengths in
        let x = inputs.activations([lengths.reduce(0, +), channels])
        let y = inputs.backend.causalConvolution(
          x, weight, bias, Segments(lengths), tails: tails)
        return [CaseOutput.activation("y of \(lengths)", y)]
          + tails.enumerated().map { index, tail in
            .float32("tail \(index) after \(lengths)", inputs.copy(tail))
          }
      }
    }
  }
}
