extension CPUBackend {
  package func linear(_ x: Tensor, _ weight: Tensor, _ bias: Tensor?) -> Tensor {
    let y = product(of: x, weight, bias)
    multiply(FloatRows(x), weight, bias, into: FloatRows(y))
    return y
  }

  /// Small products have few pieces each, and some round the rows: both are done together.
  package func linear(_ x: Tensor, _ projections: [Projection]) -> [Tensor] {
    let results = projections.map { product(of: x, $0.weight, $0.bias) }
    let rows = FloatRows(x)
    let prepared = PreparedRows(rows, for: projections.map(\.weight), on: self)
    var codes: RoundedRows?
    if let type = projections.first?.weight.dtype, case .quantized(let quantization) = type,
      projections.allSatisfy({ $0.weight.dtype == type })
    {
      codes = RoundedRows(rows, quantization, on: self)
    }
    run(
      zip(projections, results).map { layer, y in
        var work =
          codes.map { quantizedWork($0, layer.weight, layer.bias, into: FloatRows(y)) }
          ?? work(prepared, layer.weight, layer.bias, into: FloatRows(y))
        work.activation = layer.activation
        return work
      })
    return results
  }

  package func addLinear(_ stream: Tensor, _ terms: [LinearTerm]) -> Tensor {
    let isPlain = terms.allSatisfy {
      if case .quantized = $0.projection.weight.dtype { false } else { true }
    }
    guard isPlain, !isFew(stream.shape.rows) else { return addLinearByParts(stream, terms) }
    for term in terms {
      let (inputs, outputs) = Self.widths("addLinear", term.projection.weight)
      require(
        term.x.shape == [stream.shape.rows, inputs] && stream.shape.width == outputs
          && term.projection.bias.map { $0.shape == [outputs] } ?? true,
        "addLinear: stream \(stream.shape), x \(term.x.shape), weight "
          + "\(term.projection.weight.shape), bias \(term.projection.bias?.shape ?? [])")
    }
    let y = Tensor(uninitialized: stream.shape, on: self)
    run([
      manyRowsWork(
        terms.map {
          let weight = $0.projection.weight
          let x = PreparedRows(FloatRows($0.x), for: [weight], on: self)
          return ProductTerm(x: x, weight: weight, isTurned: true)
        }, addedTo: FloatRows(stream), terms.compactMap(\.projection.bias), into: FloatRows(y))
    ])
    return y
  }

  /// Memory for x weightᵀ + bias, after a check of the shapes.
  private func product(of x: Tensor, _ weight: Tensor, _ bias: Tensor?) -> Tensor {
    let (inputs, outputs) = Self.widths("linear", weight)
    require(
      x.shape == [x.shape.rows, inputs],
      "linear: x is \(x.shape), weight takes width \(inputs)")
    require(
      bias.map { $0.shape == [outputs] } ?? true,
      "linear: bias is \(bias?.shape ?? []), weight makes width \(outputs)")
    return Tensor(uninitialized: [x.shape.rows, outputs], on: self)
  }

  package func linearInputGradient(_ dy: Tensor, _ weight: Tensor) -> Tensor {
    linearInputGradient([(dy: dy, weight: weight)])
  }

  package func linearInputGradient(_ terms: [(dy: Tensor, weight: Tensor)]) -> Tensor {
    let shape = Shape([terms[0].dy.shape.rows, terms[0].weight.shape.width])
    for (dy, weight) in terms {
      let (inputs, outputs) = Self.widths("linearInputGradient", weight)
      require(
        dy.shape == [shape.rows, outputs] && inputs == shape.width,
        "linearInputGradient: dy is \(dy.shape), weight \(weight.shape), result \(shape)")
    }
    let dx = Tensor(uninitialized: shape, on: self)
    run([
      manyRowsWork(
        terms.map { inputGradientTerm(FloatRows($0.dy), $0.weight) }, [], into: FloatRows(dx))
    ])
    return dx
  }

  package func linearWeightGradient(_ dy: Tensor, _ x: Tensor) -> Tensor {
    require(
      dy.shape.dimensions.count == 2 && x.shape.dimensions.count == 2
        && dy.shape.rows == x.shape.rows,
      "linearWeightGradient: dy is \(dy.shape), x is \(x.shape)")
    let (outputs, inputs) = (dy.shape.width, x.shape.width)
    let pieces = Self.gradientPieces(rows: dy.shape.rows, outputs: outputs, inputs: inputs)
    let sums = Tensor(uninitialized: [pieces, outputs, inputs], on: self)
    weightGradient(FloatRows(dy), FloatRows(x), adding: false, into: sums)
    guard pieces > 1 else { return sums.reshaped([outputs, inputs]) }
    let total = zeros([outputs, inputs], .float32)
    addRows(sums, 0..<pieces, to: total)
    return total
  }

  private static func widths(_ name: String, _ weight: Tensor) -> (inputs: Int, outputs: Int) {
    require(
      weight.shape.dimensions.count >= 2 && weight.dtype.isWeight,
      "\(name): weight is \(weight.dtype) \(weight.shape)")
    return (weight.shape.width, weight.shape.rows)
  }

  /// y ← x weightᵀ + bias, for rows of x and y.
  func multiply(_ x: FloatRows, _ weight: Tensor, _ bias: Tensor?, into y: FloatRows) {
    run([work(PreparedRows(x, for: [weight], on: self), weight, bias, into: y)])
  }

  /// dx ← dy weight, for rows of dy and dx.
  func multiplyBack(_ dy: FloatRows, _ weight: Tensor, into dx: FloatRows) {
    run([manyRowsWork([inputGradientTerm(dy, weight)], [], into: dx)])
  }

  private func inputGradientTerm(_ dy: FloatRows, _ weight: Tensor) -> ProductTerm {
    let rows = PreparedRows(dy, for: [weight], rounds: false, on: self)
    return ProductTerm(x: rows, weight: weight, isTurned: false)
  }
}
