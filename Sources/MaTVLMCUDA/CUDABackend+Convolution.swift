import MaTVLMTensor

extension CUDABackend {
  package func causalConvolution(
    _ x: Tensor, _ weight: Tensor, _ bias: Tensor, _ segments: Segments, tails: [Tensor]?
  ) -> Tensor {
    let (rows, channels) = (x.shape.rows, x.shape.width)
    let taps = weight.shape.count / max(1, channels)
    require(
      segments.rows == rows && weight.shape.count == channels * taps
        && bias.shape.count == channels && tails.map { $0.count == segments.count } ?? true,
      "causalConvolution: x \(x.shape), weight \(weight.shape), bias \(bias.shape)")
    let y = empty(x.shape, x.dtype)
    let tailTable = tails.map { table(.addresses($0.map(\.address))) } ?? .address(0)
    convolve(
      "causalConvolution", x.shape, taps, x.dtype,
      [
        .tensor(y), .tensor(x), .tensor(weight), .tensor(bias), tailTable,
        table(.owners(segments)), table(.starts(segments)),
      ])
    if tails != nil {
      launch(
        .convolution, "updateTails", x.dtype,
        grid: Grid((channels + 255) / 256, segments.count),
        [
          tailTable, .tensor(x), table(.starts(segments)), .int32(channels), .int32(taps),
        ])
    }
    return y
  }

  package func causalConvolutionGradient(
    _ dy: Tensor, _ x: Tensor, _ weight: Tensor, _ bias: Tensor, _ segments: Segments
  ) -> (x: Tensor, weight: Tensor, bias: Tensor) {
    let (rows, channels) = (x.shape.rows, x.shape.width)
    let taps = weight.shape.count / max(1, channels)
    let type = sharedType("causalConvolutionGradient", dy, x)
    let sequence: [KernelArgument] = [table(.owners(segments)), table(.starts(segments))]
    let dPre = empty(x.shape, .float32)
    convolve(
      "convolutionPreGradient", x.shape, taps, type,
      [.tensor(dPre), .tensor(dy), .tensor(x), .tensor(weight), .tensor(bias)] + sequence)
    let dx = empty(x.shape, type)
    convolve(
      "convolutionInputGradient", x.shape, taps, type, columns: 4,
      [.tensor(dx), .tensor(dPre), .tensor(weight)] + sequence)
    let slab = Self.slab(rows)
    let slabs = (rows + slab - 1) / slab
    let dWeight = empty([slabs, channels * taps], .float32)
    let dBias = empty([slabs, channels], .float32)
    launch(
      .convolution, "convolutionParameterGradient", type,
      grid: Grid((channels + 255) / 256, slabs),
      [.tensor(dWeight), .tensor(dBias), .tensor(dPre), .tensor(x)] + sequence
        + [.int32(rows), .int32(channels), .int32(taps), .int32(slab)])
    return (dx, sumRows(dWeight).reshaped(weight.shape), sumRows(dBias))
  }

  /// Queues a kernel, or its sibling for packs of columns where shapes allow.
  /// - Parameter columns: what a thread of the sibling has; nil: sixteen bytes of them.
  private func convolve(
    _ name: String, _ shape: Shape, _ taps: Int, _ type: DType, columns: Int? = nil,
    _ tensors: [KernelArgument]
  ) {
    let (rows, channels) = (shape.rows, shape.width)
    let lanes = 16 / type.byteCount
    let arguments = tensors + [.int32(rows), .int32(channels), .int32(taps)]
    guard taps == 4, channels % lanes == 0 else {
      launch(
        .convolution, name, type, grid: Grid(rows, (channels + 255) / 256), arguments)
      return
    }
    let (threads, block) = (channels / (columns ?? lanes), 64)
    let rowsOfThread = 16  // ROWS of convolution.cu
    launch(
      .convolution, name + "Packs", type,
      grid: Grid((rows + rowsOfThread - 1) / rowsOfThread, (threads + block - 1) / block),
      block: block, arguments)
  }
}
