import MaTVLMTensor

extension CUDABackend {
  package func linear(_ x: Tensor, _ weight: Tensor, _ bias: Tensor?) -> Tensor {
    let (rows, inputs, outputs) = (x.shape.rows, weight.shape.width, weight.shape.rows)
    require(
      x.shape.width == inputs && bias.map { $0.shape.count == outputs } ?? true,
      "linear: x \(x.shape), weight \(weight.shape), bias \(bias?.shape ?? [])")
    let y = empty([rows, outputs], x.dtype)
    guard rows > 0 else { return y }
    let w = converted(weight, to: x.dtype)
    if isFew(rows, inputs: inputs, x.dtype) {
      multiplyFewRows(x, w, bias, into: y)
    } else {
      let shape = MatrixProduct(
        rows: rows, columns: outputs, inner: inputs, transposesSecond: true, input: x.dtype,
        output: x.dtype)
      multiply(shape, x.address, w.address, bias: bias, into: y.address)
    }
    return y
  }

  package func linearInputGradient(_ dy: Tensor, _ weight: Tensor) -> Tensor {
    let (rows, inputs, outputs) = (dy.shape.rows, weight.shape.width, weight.shape.rows)
    require(
      dy.shape.width == outputs, "linearInputGradient: dy \(dy.shape), weight \(weight.shape)")
    let dx = empty([rows, inputs], dy.dtype)
    guard rows > 0 else { return dx }
    let w = converted(weight, to: dy.dtype)
    multiply(
      MatrixProduct(
        rows: rows, columns: inputs, inner: outputs, input: dy.dtype, output: dy.dtype),
      dy.address, w.address, into: dx.address)
    return dx
  }

  package func linearWeightGradient(_ dy: Tensor, _ x: Tensor) -> Tensor {
    require(
      dy.shape.rows == x.shape.rows, "linearWeightGradient: dy \(dy.shape), x \(x.shape)")
    let (rows, inputs, outputs) = (x.shape.rows, x.shape.width, dy.shape.width)
    guard rows > 0 else { return zeros([outputs, inputs], .float32) }
    let dw = empty([outputs, inputs], .float32)
    multiply(
      MatrixProduct(
        rows: outputs, columns: inputs, inner: rows, transposesFirst: true,
        input: sharedType("linearWeightGradient", dy, x), output: .float32),
      dy.address, x.address, into: dw.address)
    return dw
  }

  /// Queues a product by cuBLASLt, which adds the bias in the result's type.
  func multiply(
    _ shape: MatrixProduct, _ first: UInt64, _ second: UInt64, bias: Tensor? = nil,
    into result: UInt64
  ) {
    var shape = shape
    shape.hasBias = bias != nil
    let bias = bias.map { converted($0, to: shape.output) }
    attempt { try products.multiply(shape, first, second, bias: bias?.address, into: result) }
  }

  /// Whether our kernel, which reads the weights once at the speed of memory, beats a product on the
  /// tensor cores.
  private func isFew(_ rows: Int, inputs: Int, _ type: DType) -> Bool {
    rows <= 4 && inputs % (16 / type.byteCount) == 0
  }

  private func multiplyFewRows(_ x: Tensor, _ weight: Tensor, _ bias: Tensor?, into y: Tensor) {
    var source = KernelSource(.gemv, x.dtype)
    source.inputRows = x.shape.rows
    let (inputs, outputs) = (weight.shape.width, weight.shape.rows)
    // Two warps of eight share a row of up to five packs a lane, four a longer one.
    let isShort = inputs * x.dtype.byteCount <= 2 * 32 * 5 * 16
    let outputsOfBlock = isShort ? 4 : 2
    launch(
      source, isShort ? "linearShortRows" : "linearLongRows",
      grid: Grid((outputs + outputsOfBlock - 1) / outputsOfBlock),
      overlaps: settle(weight),
      [
        .tensor(y), .tensor(x), .tensor(weight), .tensor(bias), .int32(inputs), .int32(outputs),
      ])
  }

  /// Whether weights have been read before by a kernel that waited for all work before it, and not
  /// been written since: then a kernel may read them while others still run.
  private func settle(_ weight: Tensor) -> Bool {
    settled.withLock { !$0.insert(weight.address).inserted }
  }
}
