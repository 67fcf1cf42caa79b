import CMaTVLMKernels

extension CPUBackend {
  package func causalConvolution(
    _ x: Tensor, _ weight: Tensor, _ bias: Tensor, _ segments: Segments, tails: [Tensor]?
  ) -> Tensor {
    let taps = requireConvolution(x, weight, bias, segments, tails, "causalConvolution")
    let y = Tensor(uninitialized: x.shape, on: self)  // [T, C]
    forConvolutionBlocks(x, segments) { _, block, channels in
      var arguments = Self.block(x, weight, bias, segments, block, channels)
      let offset = segments.starts[block.segment] * x.shape.width + channels.lowerBound
      arguments.y = y.floats + offset
      arguments.tail = tails.map { UnsafePointer($0[block.segment].floats + channels.lowerBound) }
      self.withScratch(matvlm_convolution_scratch(taps)) {
        self.kernels.sequence.convolve(&arguments, $0)
      }
    }
    if let tails { advance(tails, x, segments) }
    return y
  }

  package func causalConvolutionGradient(
    _ dy: Tensor, _ x: Tensor, _ weight: Tensor, _ bias: Tensor, _ segments: Segments
  ) -> (x: Tensor, weight: Tensor, bias: Tensor) {
    let taps = requireConvolution(x, weight, bias, segments, nil, "causalConvolutionGradient")
    require(
      dy.shape == x.shape, "causalConvolutionGradient: dy \(dy.shape), x \(x.shape)")
    let width = x.shape.width
    let dx = Tensor(uninitialized: x.shape, on: self)  // [T, C]
    let blockCount = segments.blocks(of: Int(MATVLM_CONVOLUTION_ROWS)).count
    let partial = Tensor(uninitialized: [blockCount, taps + 1, width], on: self)
    forConvolutionBlocks(x, segments) { index, block, channels in
      let offset = segments.starts[block.segment] * width + channels.lowerBound
      var arguments = matvlm_convolution_gradient(
        forward: Self.block(x, weight, bias, segments, block, channels), dy: dy.floats + offset,
        dx: dx.floats + offset,
        parameters: partial.floats + index * (taps + 1) * width + channels.lowerBound,
        parameters_stride: width)
      self.withScratch(matvlm_convolution_scratch(taps)) {
        self.kernels.sequence.convolve_gradient(&arguments, $0)
      }
    }
    let (dWeight, dBias) = sumConvolutionBlocks(partial, weight.shape, bias.shape)
    return (dx, dWeight, dBias)
  }

  /// Runs `body` for every block of rows, by its number, and every block of channels.
  private func forConvolutionBlocks(
    _ x: Tensor, _ segments: Segments,
    _ body: @Sendable (_ index: Int, _ block: RowBlock, _ channels: Range<Int>) -> Void
  ) {
    let blocks = segments.blocks(of: Int(MATVLM_CONVOLUTION_ROWS))
    let (width, most) = (x.shape.width, Int(MATVLM_CONVOLUTION_CHANNELS))
    let across = (width + most - 1) / most
    parallel(blocks.count * across) { item in
      let first = item % across * most
      body(item / across, blocks[item / across], first..<min(width, first + most))
    }
  }

  private static func block(
    _ x: Tensor, _ weight: Tensor, _ bias: Tensor, _ segments: Segments, _ block: RowBlock,
    _ channels: Range<Int>
  ) -> matvlm_convolution {
    let taps = weight.shape[2]
    var arguments = matvlm_convolution()
    arguments.rows = segments.lengths[block.segment]
    (arguments.first, arguments.count) = (block.first, block.count)
    (arguments.channels, arguments.stride) = (channels.count, x.shape.width)
    arguments.taps = taps
    let offset = segments.starts[block.segment] * x.shape.width + channels.lowerBound
    arguments.x = UnsafePointer(x.floats + offset)
    arguments.weight = UnsafePointer(weight.floats + channels.lowerBound * taps)
    arguments.bias = UnsafePointer(bias.floats + channels.lowerBound)
    return arguments
  }

  /// Moves each tail on by its segment's rows: what a short segment does not replace moves up.
  private func advance(_ tails: [Tensor], _ x: Tensor, _ segments: Segments) {
    let width = x.shape.width
    for (segment, tail) in tails.enumerated() {
      let (start, length) = (segments.starts[segment], segments.lengths[segment])
      for row in 0..<tail.shape.rows {
        let from = length - tail.shape.rows + row  // in the segment; negative: in the old tail
        let source =
          from >= 0
          ? x.floats + (start + from) * width : tail.floats + (tail.shape.rows + from) * width
        (tail.floats + row * width).update(from: source, count: width)
      }
    }
  }

  /// partial [blocks, K + 1, C] → [C, 1, K] and [C]: the sum over blocks, in their order.
  private func sumConvolutionBlocks(
    _ partial: Tensor, _ weightShape: Shape, _ biasShape: Shape
  ) -> (weight: Tensor, bias: Tensor) {
    let (blocks, taps, width) = (partial.shape[0], weightShape[2], weightShape[0])
    let dWeight = Tensor(uninitialized: weightShape, on: self)
    let dBias = Tensor(uninitialized: biasShape, on: self)
    parallel(width, grain: 256) { channels in
      for tap in 0...taps {
        for channel in channels {
          var sum = 0.0
          for block in 0..<blocks {
            sum += Double(partial.floats[(block * (taps + 1) + tap) * width + channel])
          }
          if tap < taps {
            dWeight.floats[channel * taps + tap] = Float(sum)
          } else {
            dBias.floats[channel] = Float(sum)
          }
        }
      }
    }
    return (dWeight, dBias)
  }

  /// - Returns: the taps K.
  private func requireConvolution(
    _ x: Tensor, _ weight: Tensor, _ bias: Tensor, _ segments: Segments, _ tails: [Tensor]?,
    _ name: String
  ) -> Int {
    let (shape, width) = (weight.shape, x.shape.width)
    require(
      shape.dimensions.count == 3 && shape[0] == width && shape[1] == 1 && shape[2] > 0
        && bias.shape == [width] && x.shape.rows == segments.rows,
      "\(name): x \(x.shape) of \(segments.lengths) rows, weight \(shape), bias \(bias.shape)")
    if let tails {
      require(
        tails.count == segments.count
          && tails.allSatisfy { $0.shape == [shape[2] - 1, width] },
        "\(name): tails \(tails.map(\.shape)), not \(segments.count) of \([shape[2] - 1, width])")
    }
    return shape[2]
  }
}
