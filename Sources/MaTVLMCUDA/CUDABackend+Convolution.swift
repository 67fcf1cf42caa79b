import MaTVLMTensor

extension CUDABackend {
  package func causalConvolution(
    _ x: Tensor, _ weight: Tensor, _ bias: Tensor, _ segments: Segments, tails: [Tensor]?
  ) -> Tensor {
    let y = empty(x.shape, x.dtype)
    let shape = ConvolutionShape(columns: 0..<x.shape.width, of: x, weight, bias, segments)
    convolve([y], x, weight, bias, shape, tails)
    return y
  }

  package func mixerParts(
    _ projected: Tensor, _ weight: Tensor, _ bias: Tensor, _ geometry: StateSpaceGeometry,
    _ segments: Segments, tails: [Tensor]?
  ) -> [Tensor] {
    let shape = ConvolutionShape(geometry, projected, weight, bias, segments)
    guard shape.isInFours(parts: geometry.convolvedWidths) else {
      return mixerPartsByColumns(projected, weight, bias, geometry, segments, tails: tails)
    }
    let parts = geometry.projectedWidths.map { empty([shape.rows, $0], projected.dtype) }
    copyColumns(parts[0], at: 0, projected, at: 0, width: geometry.widths.output)
    convolve(Array(parts[1...3]), projected, weight, bias, shape, tails)
    copyColumns(parts[4], at: 0, projected, at: shape.columns.upperBound, width: geometry.heads)
    return parts
  }

  package func causalConvolutionGradient(
    _ dy: Tensor, _ x: Tensor, _ weight: Tensor, _ bias: Tensor, _ segments: Segments
  ) -> (x: Tensor, weight: Tensor, bias: Tensor) {
    let type = sharedType("causalConvolutionGradient", dy, x)
    let dx = empty(x.shape, type)
    let shape = ConvolutionShape(columns: 0..<x.shape.width, of: x, weight, bias, segments)
    guard shape.isInFours(parts: [shape.channels]) else {
      let gradient = gradientByTaps(dx, dy, x, weight, bias, shape)
      return (dx, gradient.weight, gradient.bias)
    }
    let gradient = gradientInFours(dx, [dy], x, weight, bias, shape)
    return (dx, gradient.weight, gradient.bias)
  }

  package func mixerPartsGradient(
    _ parts: [Tensor?], _ projected: Tensor, _ weight: Tensor, _ bias: Tensor,
    _ geometry: StateSpaceGeometry, _ segments: Segments
  ) -> (projected: Tensor, weight: Tensor, bias: Tensor) {
    let shape = ConvolutionShape(geometry, projected, weight, bias, segments)
    let convolved = parts[1...3].compactMap { $0 }
    guard convolved.count == 3, shape.isInFours(parts: geometry.convolvedWidths) else {
      return mixerPartsGradientByColumns(parts, projected, weight, bias, geometry, segments)
    }
    let dProjected = empty(
      projected.shape, sharedType("mixerPartsGradient", projected, convolved[0]))
    copyColumns(dProjected, at: 0, parts[0], at: 0, width: geometry.widths.output)
    let gradient = gradientInFours(dProjected, convolved, projected, weight, bias, shape)
    copyColumns(
      dProjected, at: shape.columns.upperBound, parts[4], at: 0, width: geometry.heads)
    return (dProjected, gradient.weight, gradient.bias)
  }

  // MARK: Kernels

  /// Writes the convolved columns to `parts`, which have them side by side.
  private func convolve(
    _ parts: [Tensor], _ x: Tensor, _ weight: Tensor, _ bias: Tensor, _ shape: ConvolutionShape,
    _ tails: [Tensor]?
  ) {
    require(
      tails.map { $0.count == shape.segments.count } ?? true,
      "causalConvolution: \(shape.segments.count) segments, \(tails?.count ?? 0) tails")
    let tailTable = tails.map { table(.addresses($0.map(\.address))) } ?? .address(0)
    let place: [KernelArgument] = [
      .tensor(x), .int64(x.shape.width), .int64(shape.columns.lowerBound),
    ]
    if shape.isInFours(parts: parts.map(\.shape.width)) {
      launch(
        .convolutionFours, "causalConvolutionFours", x.dtype,
        grid: shape.gridOfFours(rows: 16),  // FORWARD_ROWS of convolution_fours.cu
        block: ConvolutionShape.block,
        [.parts(parts)] + place + [.tensor(weight), .tensor(bias), tailTable] + sequence(shape))
    } else {
      launch(
        .convolution, "causalConvolution", x.dtype, grid: shape.grid,
        [.tensor(parts[0]), .tensor(x), .tensor(weight), .tensor(bias), tailTable]
          + sequence(shape) + [.int32(shape.taps)])
    }
    guard tails != nil else { return }
    launch(
      .convolution, "updateTails", x.dtype,
      grid: Grid((shape.channels + 255) / 256, shape.segments.count),
      [tailTable] + place
        + [table(.starts(shape.segments)), .int32(shape.channels), .int32(shape.taps)])
  }

  /// Writes the gradient of the columns of x into those of `dx`, in one walk over the rows.
  private func gradientInFours(
    _ dx: Tensor, _ dy: [Tensor], _ x: Tensor, _ weight: Tensor, _ bias: Tensor,
    _ shape: ConvolutionShape
  ) -> (weight: Tensor, bias: Tensor) {
    let grid = shape.gridOfFours(rows: 32)  // GRADIENT_ROWS of convolution_fours.cu
    let dWeight = empty([grid.x, shape.channels * shape.taps], .float32)
    let dBias = empty([grid.x, shape.channels], .float32)
    launch(
      .convolutionFours, "causalConvolutionGradientFours", x.dtype, grid: grid,
      block: ConvolutionShape.block,
      [
        .tensor(dx), .tensor(dWeight), .tensor(dBias), .parts(dy), .tensor(x),
        .int64(x.shape.width), .int64(shape.columns.lowerBound), .tensor(weight), .tensor(bias),
      ] + sequence(shape))
    return (sumRows(dWeight).reshaped(weight.shape), sumRows(dBias))
  }

  /// The same for any number of taps and columns, of a tensor that has no other columns.
  private func gradientByTaps(
    _ dx: Tensor, _ dy: Tensor, _ x: Tensor, _ weight: Tensor, _ bias: Tensor,
    _ shape: ConvolutionShape
  ) -> (weight: Tensor, bias: Tensor) {
    let last = sequence(shape) + [.int32(shape.taps)]
    let dPre = empty(x.shape, .float32)
    launch(
      .convolution, "convolutionPreGradient", x.dtype, grid: shape.grid,
      [.tensor(dPre), .tensor(dy), .tensor(x), .tensor(weight), .tensor(bias)] + last)
    launch(
      .convolution, "convolutionInputGradient", x.dtype, grid: shape.grid,
      [.tensor(dx), .tensor(dPre), .tensor(weight)] + last)
    let slab = Self.slab(shape.rows)
    let slabs = (shape.rows + slab - 1) / slab
    let dWeight = empty([slabs, shape.channels * shape.taps], .float32)
    let dBias = empty([slabs, shape.channels], .float32)
    launch(
      .convolution, "convolutionParameterGradient", x.dtype,
      grid: Grid((shape.channels + 255) / 256, slabs),
      [.tensor(dWeight), .tensor(dBias), .tensor(dPre), .tensor(x)] + last + [.int32(slab)])
    return (sumRows(dWeight).reshaped(weight.shape), sumRows(dBias))
  }

  private func sequence(_ shape: ConvolutionShape) -> [KernelArgument] {
    [
      table(.owners(shape.segments)), table(.starts(shape.segments)), .int32(shape.rows),
      .int32(shape.channels),
    ]
  }
}

/// Which columns of which rows are convolved.
private struct ConvolutionShape {
  let columns: Range<Int>
  let segments: Segments
  let taps: Int
  /// Columns of the tensor that these are some of.
  private let width: Int

  var rows: Int { segments.rows }
  var channels: Int { columns.count }

  init(
    columns: Range<Int>, of x: Tensor, _ weight: Tensor, _ bias: Tensor, _ segments: Segments
  ) {
    taps = weight.shape.count / max(1, columns.count)
    require(
      segments.rows == x.shape.rows && columns.upperBound <= x.shape.width
        && weight.shape.count == columns.count * taps && bias.shape.count == columns.count,
      """
      causalConvolution: \(columns) of x \(x.shape), weight \(weight.shape), bias \(bias.shape), \
      \(segments.rows) rows
      """)
    (self.columns, self.segments, width) = (columns, segments, x.shape.width)
  }

  /// x, B and C of what a mixer's `in_proj` made.
  init(
    _ geometry: StateSpaceGeometry, _ projected: Tensor, _ weight: Tensor, _ bias: Tensor,
    _ segments: Segments
  ) {
    let first = geometry.widths.output
    let count = geometry.convolvedWidths.reduce(0, +)
    require(
      projected.shape.width == first + count + geometry.heads,
      "mixerParts: projected \(projected.shape), \(geometry)")
    self.init(columns: first..<first + count, of: projected, weight, bias, segments)
  }

  /// Whether the kernels of convolution_fours.cu have them, with results of these widths.
  func isInFours(parts: [Int]) -> Bool {
    taps == 4 && (parts + [width, columns.lowerBound]).allSatisfy { $0 % 4 == 0 }
  }

  static let block = 64

  /// A thread for `rows` rows of four columns.
  func gridOfFours(rows: Int) -> Grid {
    let threads = channels / 4
    return Grid(
      (self.rows + rows - 1) / rows, (threads + Self.block - 1) / Self.block)
  }

  /// A thread for each number.
  var grid: Grid { Grid(rows, (channels + 255) / 256) }
}

extension KernelArgument {
  /// `Parts` of convolution_fours.cu.
  fileprivate static func parts(_ parts: [Tensor]) -> KernelArgument {
    let addresses = parts.map(\.address) + Array(repeating: 0, count: 3 - parts.count)
    return .words(
      addresses + [
        pair(parts[0].shape.width, parts.count > 1 ? parts[1].shape.width : 0)
      ])
  }
}
