import MaTVLMTensor

extension ReferenceBackend {
  package func causalConvolution(
    _ x: Tensor, _ weight: Tensor, _ bias: Tensor, _ segments: Segments, tails: [Tensor]?
  ) -> Tensor {
    let (channels, taps) = (x.shape.width, weight.shape.width)
    precondition((tails?.count ?? segments.count) == segments.count, "causalConvolution: tails")
    let source = floats(x, [segments.rows, channels], "causalConvolution: x")
    let w = floats(weight, [channels, 1, taps], "causalConvolution: weight")
    let b = floats(bias, [channels], "causalConvolution: bias")
    var result = Grid(zeros: segments.rows, channels)
    for segment in 0..<segments.count {
      let before =
        tails.map { floats($0[segment], [taps - 1, channels], "causalConvolution: tail") }
        ?? Grid(zeros: taps - 1, channels)
      let own = segments.range(segment).flatMap { source.row($0) }
      let rows = Grid(width: channels, before.values + own)  // [K − 1 + T, C]
      for (t, row) in segments.range(segment).enumerated() {
        for channel in 0..<channels {
          let sum = (0..<taps).reduce(b[channel]) { $0 + w[channel, $1] * rows[t + $1, channel] }
          result[row, channel] = Activation.silu.value(sum)
        }
      }
      if let tails {
        replace(tails[segment], with: Array(rows.values.suffix((taps - 1) * channels)))
      }
    }
    return tensor(result, x.shape)
  }

  package func causalConvolutionGradient(
    _ dy: Tensor, _ x: Tensor, _ weight: Tensor, _ bias: Tensor, _ segments: Segments
  ) -> (x: Tensor, weight: Tensor, bias: Tensor) {
    let (channels, taps) = (x.shape.width, weight.shape.width)
    let source = floats(x, [segments.rows, channels], "causalConvolutionGradient: x")
    let upstream = floats(dy, x.shape, "causalConvolutionGradient: dy")
    let w = floats(weight, [channels, 1, taps], "causalConvolutionGradient: weight")
    let b = floats(bias, [channels], "causalConvolutionGradient: bias")
    var dx = Grid(zeros: segments.rows, channels)
    var (dw, db) = (Grid(zeros: channels, taps), Grid(zeros: 1, channels))
    for segment in 0..<segments.count {
      let rows = segments.range(segment)
      for row in rows {
        // Each tap that lies in the sequence, with the row it reads.
        let inside = (0..<taps).map { (tap: $0, source: row - taps + 1 + $0) }
          .filter { rows.contains($0.source) }
        for channel in 0..<channels {
          let sum = inside.reduce(b[channel]) {
            $0 + w[channel, $1.tap] * source[$1.source, channel]
          }
          let ds = upstream[row, channel] * Activation.silu.derivative(sum)
          db[channel] += ds
          for (tap, other) in inside {
            dw[channel, tap] += ds * source[other, channel]
            dx[other, channel] += ds * w[channel, tap]
          }
        }
      }
    }
    return (tensor(dx, x.shape), tensor(dw, weight.shape), tensor(db, [channels]))
  }
}
