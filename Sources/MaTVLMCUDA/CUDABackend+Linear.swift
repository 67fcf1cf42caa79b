import MaTVLMTensor

extension CUDABackend {
  package func linear(_ x: Tensor, _ weight: Tensor, _ bias: Tensor?) -> Tensor {
    let (rows, inputs, outputs) = (x.shape.rows, weight.shape.width, weight.shape.rows)
    require(
      x.shape.width == inputs && bias.map { $0.shape.count == outputs } ?? true,
      "linear: x \(x.shape), weight \(weight.shape), bias \(bias?.shape ?? [])")
    let y = empty([rows, outputs], x.dtype)
    guard rows > 0 else { return y }
    let w = weights(weight, in: x.dtype)
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
    let w = weights(weight, in: dy.dtype)
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
    let bias = bias.map { weights($0, in: shape.output) }
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

  /// Weights in a type that a product takes; what was converted is kept until the weights are
  /// written or given back, since they are used several times in a step and biases in every one.
  private func weights(_ weight: Tensor, in type: DType) -> Tensor {
    guard weight.dtype != type else { return weight }
    let known = conversions.withLock { $0[weight.address] }
    if let known, known.dtype == type, known.shape == weight.shape { return known }
    let new = convert(weight, to: type)
    // What was kept before is given back outside of the lock, which giving back takes again.
    _ = conversions.withLock { $0.updateValue(new, forKey: weight.address) }
    return new
  }

  /// Forgets what is known of weights at an address, which are given back or written.
  func forget(_ address: UInt64) {
    settled.withLock { _ = $0.remove(address) }
    _ = conversions.withLock { $0.removeValue(forKey: address) }
  }

  /// Whether weights have been read before by a kernel that waited for all work before it, and not
  /// been written since: then a kernel may read them while others still run.
  private func settle(_ weight: Tensor) -> Bool {
    settled.withLock { !$0.insert(weight.address).inserted }
  }
}
