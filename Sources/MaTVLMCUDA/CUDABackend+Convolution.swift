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
    launch(
      .convolution, "causalConvolution", x.dtype, grid: Self.grid(rows, channels, x.dtype),
      [
        .tensor(y), .tensor(x), .tensor(weight), .tensor(bias), tailTable,
        table(.owners(segments)), table(.starts(segments)), .int32(channels), .int32(taps),
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
    let sizes: [KernelArgument] = [.int32(channels), .int32(taps)]
    let grid = Self.grid(rows, channels, type)
    let dPre = empty(x.shape, .float32)
    launch(
      .convolution, "convolutionPreGradient", type, grid: grid,
      [.tensor(dPre), .tensor(dy), .tensor(x), .tensor(weight), .tensor(bias)] + sequence + sizes)
    let dx = empty(x.shape, type)
    launch(
      .convolution, "convolutionInputGradient", type, grid: grid,
      [.tensor(dx), .tensor(dPre), .tensor(weight)] + sequence + sizes)
    let slab = Self.slab(rows)
    let slabs = (rows + slab - 1) / slab
    let dWeight = empty([slabs, channels * taps], .float32)
    let dBias = empty([slabs, channels], .float32)
    launch(
      .convolution, "convolutionParameterGradient", type,
      grid: Grid((channels + 255) / 256, slabs, taps),
      [.tensor(dWeight), .tensor(dBias), .tensor(dPre), .tensor(x)] + sequence
        + [.int32(rows)] + sizes + [.int32(slab)])
    return (dx, sumRows(dWeight).reshaped(weight.shape), sumRows(dBias))
  }

  /// A block for each row and 256 threads' channels: a pack a thread where there are whole packs.
  private static func grid(_ rows: Int, _ channels: Int, _ type: DType) -> Grid {
    let lanes = 16 / type.byteCount
    let threads = channels % lanes == 0 ? channels / lanes : channels
    return Grid(rows, (threads + 255) / 256)
  }
}
