import MaTVLMTensor

extension CUDABackend {
  package func linear(_ x: Tensor, _ weight: Tensor, _ bias: Tensor?) -> Tensor {
    linear(x, [Projection(weight: weight, bias: bias)])[0]
  }

  package func linear(_ x: Tensor, _ projections: [Projection]) -> [Tensor] {
    let (rows, inputs) = (x.shape.rows, x.shape.width)
    for layer in projections { check("linear", x, layer) }
    if let results = linearOfFewQuantized(x, projections) { return results }
    let layers = projections.map { layer in
      (layer: layer, y: empty([rows, layer.weight.shape.rows], x.dtype))
    }
    guard rows > 0 else { return layers.map(\.y) }
    if isFew(rows, inputs: inputs, x.dtype) {
      multiplyFewRows(x, layers)
      return layers.map(\.y)
    }
    return layers.map { layer, y in
      var shape = MatrixProduct(
        rows: rows, columns: layer.weight.shape.rows, inner: inputs, transposesSecond: true,
        input: x.dtype, output: x.dtype)
      // The library's GELU is the form with tanh, to bfloat16's precision.
      shape.hasGELU = layer.activation == .geluTanh && x.dtype == .bfloat16
      multiply(
        shape, x.address, by: layer.weight, bias: layer.bias, into: y.address)
      guard let activation = layer.activation, !shape.hasGELU else { return y }
      return activate(y, activation)
    }
  }

  package func addLinear(_ stream: Tensor, _ terms: [LinearTerm]) -> Tensor {
    for term in terms { check("addLinear", term.x, term.projection) }
    require(
      terms.allSatisfy { stream.shape == [$0.x.shape.rows, $0.projection.weight.shape.rows] },
      "addLinear: stream \(stream.shape), terms \(terms.map { ($0.x.shape, $0.projection.weight.shape) })"
    )
    guard stream.shape.rows > 0, !terms.isEmpty else { return convert(stream, to: stream.dtype) }
    if let sum = addLinearOfFewQuantized(stream, terms) { return sum }
    let y = empty(stream.shape, stream.dtype)
    if stream.shape.rows == 1, fitsThreads(outputs: y.shape.width), let slabs = Slab.cut(terms) {
      addOneRow(stream, terms, slabs, into: y)
      return y
    }
    var sum = stream
    for term in terms {
      let layer = term.projection
      var shape = MatrixProduct(
        rows: y.shape.rows, columns: y.shape.width, inner: layer.weight.shape.width,
        transposesSecond: true, input: y.dtype, output: y.dtype)
      shape.accumulates = true
      multiply(
        shape, term.x.address, by: layer.weight, bias: layer.bias, addingTo: sum.address,
        into: y.address)
      sum = y
    }
    return y
  }

  package func linearInputGradient(_ dy: Tensor, _ weight: Tensor) -> Tensor {
    linearInputGradient([(dy: dy, weight: weight)])
  }

  package func linearInputGradient(_ terms: [(dy: Tensor, weight: Tensor)]) -> Tensor {
    let (rows, inputs) = (terms[0].dy.shape.rows, terms[0].weight.shape.width)
    require(
      terms.allSatisfy { $0.dy.shape == [rows, $0.weight.shape.rows] }
        && terms.allSatisfy { $0.weight.shape.width == inputs },
      "linearInputGradient: \(terms.map { ($0.dy.shape, $0.weight.shape) })")
    let dx = empty([rows, inputs], terms[0].dy.dtype)
    guard rows > 0 else { return dx }
    for (index, term) in terms.enumerated() {
      var shape = MatrixProduct(
        rows: rows, columns: inputs, inner: term.weight.shape.rows, input: dx.dtype,
        output: dx.dtype)
      shape.accumulates = index > 0
      multiply(shape, term.dy.address, by: term.weight, into: dx.address)
    }
    return dx
  }

  package func linearInputGradient(
    _ dy: Tensor, _ weight: Tensor, through activation: Activation, of x: Tensor
  ) -> Tensor {
    let shape = MatrixProduct(
      rows: dy.shape.rows, columns: x.shape.width, inner: weight.shape.rows,
      input: dy.dtype, output: x.dtype, hasGELUGradient: true)
    // The library's GELU is the form with tanh, and takes whole 16 bytes of columns.
    guard activation == .geluTanh, dy.dtype == .bfloat16, x.dtype == .bfloat16,
      shape.columns % 8 == 0, shape.rows > 0
    else { return activateGradient(linearInputGradient(dy, weight), x, activation) }
    require(
      dy.shape == [x.shape.rows, weight.shape.rows] && weight.shape.width == x.shape.width,
      "linearInputGradient: dy \(dy.shape), weight \(weight.shape), x \(x.shape)")
    let dx = empty(x.shape, x.dtype)
    multiply(shape, dy.address, by: weight, activated: x, into: dx.address)
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

  func check(_ operation: StaticString, _ x: Tensor, _ layer: Projection) {
    require(
      x.shape.width == layer.weight.shape.width
        && layer.bias.map { $0.shape.count == layer.weight.shape.rows } ?? true,
      "\(operation): x \(x.shape), weight \(layer.weight.shape), bias \(layer.bias?.shape ?? [])")
  }

  /// Queues a product with weights in whatever type they are stored.
  private func multiply(
    _ shape: MatrixProduct, _ first: UInt64, by weight: Tensor, bias: Tensor? = nil,
    activated: Tensor? = nil, addingTo addend: UInt64? = nil, into result: UInt64
  ) {
    let second = weights(weight, in: shape.input)
    // What was written out for this product alone must not make room for its bias.
    withExtendedLifetime(second) {
      multiply(
        shape, first, second.address, bias: bias, activated: activated, addingTo: addend,
        into: result)
    }
  }

  /// Queues a product by cuBLASLt, which adds the bias in the result's type.
  /// - Parameters:
  ///   - activated: what went into the activation that the result goes back through.
  ///   - addend: what an accumulating product is added to; nil: what is there.
  func multiply(
    _ shape: MatrixProduct, _ first: UInt64, _ second: UInt64, bias: Tensor? = nil,
    activated: Tensor? = nil, addingTo addend: UInt64? = nil, into result: UInt64
  ) {
    var shape = shape
    shape.hasBias = bias != nil
    let bias = bias.map { weights($0, in: shape.output) }
    attempt {
      try products.multiply(
        shape, first, second, bias: bias?.address, activated: activated?.address,
        addingTo: addend ?? result, into: result)
    }
  }

  /// Weights in a type that a product takes; what was converted is kept until the weights are
  /// written or given back, since they are used several times in a step and biases in every one.
  /// Quantised ones, which are to save memory, are converted anew.
  func weights(_ weight: Tensor, in type: DType) -> Tensor {
    guard weight.dtype != type else { return weight }
    guard weight.dtype.quantization == nil else { return convert(weight, to: type) }
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
}
