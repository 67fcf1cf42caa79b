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
