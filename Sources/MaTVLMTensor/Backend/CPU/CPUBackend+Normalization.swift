import CMaTVLMKernels

extension CPUBackend {
  package func layerNorm(
    _ x: Tensor, _ weight: Tensor, _ bias: Tensor, epsilon: Float
  ) -> Tensor {
    let width = x.shape.width
    require(
      weight.shape == [width] && bias.shape == [width],
      "layerNorm: x \(x.shape), weight \(weight.shape), bias \(bias.shape)")
    let y = Tensor(uninitialized: x.shape, on: self)
    parallel(x.shape.rows, grain: Self.rowGrain(width)) { [self] rows in
      let at = rows.lowerBound * width
      kernels.normalize.layer_norm(
        x.floats + at, weight.floats, bias.floats, y.floats + at, Int64(rows.count), Int64(width),
        epsilon)
    }
    return y
  }

  package func layerNormGradient(
    _ dy: Tensor, _ x: Tensor, _ weight: Tensor, epsilon: Float, parameters: Bool
  ) -> (x: Tensor, weight: Tensor?, bias: Tensor?) {
    let width = x.shape.width
    require(
      dy.shape == x.shape && weight.shape == [width],
      "layerNormGradient: dy \(dy.shape), x \(x.shape), weight \(weight.shape)")
    let dx = Tensor(uninitialized: x.shape, on: self)
    @Sendable func gradient(_ rows: Range<Int>, _ sums: UnsafeMutablePointer<Float>?) {
      let at = rows.lowerBound * width
      kernels.normalize.layer_norm_gradient(
        dy.floats + at, x.floats + at, weight.floats, dx.floats + at, sums, sums.map { $0 + width },
        Int64(rows.count), Int64(width), epsilon)
    }
    guard parameters else {
      parallel(x.shape.rows, grain: Self.rowGrain(width)) { gradient($0, nil) }
      return (dx, nil, nil)
    }
    let sums = summingBlocks(rows: x.shape.rows, width: 2 * width) { gradient($0, $1) }
    let parts = splitColumns(sums.reshaped([1, 2 * width]), [width, width])
    return (dx, parts[0].reshaped([width]), parts[1].reshaped([width]))
  }

  package func gatedRMSNorm(
    _ x: Tensor, gate: Tensor, _ weight: Tensor, groupWidth: Int, epsilon: Float
  ) -> Tensor {
    let groups = gatedGroups("gatedRMSNorm", x, gate, weight, groupWidth)
    let (width, y) = (x.shape.width, Tensor(uninitialized: x.shape, on: self))
    parallel(x.shape.rows, grain: Self.rowGrain(width)) { [self] rows in
      let at = rows.lowerBound * width
      kernels.normalize.gated_rms_norm(
        x.floats + at, gate.floats + at, weight.floats, y.floats + at, Int64(rows.count),
        Int64(groups), Int64(groupWidth), epsilon)
    }
    return y
  }

  package func gatedRMSNormGradient(
    _ dy: Tensor, _ x: Tensor, gate: Tensor, _ weight: Tensor, groupWidth: Int, epsilon: Float
  ) -> (x: Tensor, gate: Tensor, weight: Tensor) {
    require(dy.shape == x.shape, "gatedRMSNormGradient: dy \(dy.shape), x \(x.shape)")
    let groups = gatedGroups("gatedRMSNormGradient", x, gate, weight, groupWidth)
    let width = x.shape.width
    let dx = Tensor(uninitialized: x.shape, on: self)
    let dgate = Tensor(uninitialized: x.shape, on: self)
    let dweight = summingBlocks(rows: x.shape.rows, width: width) { [self] rows, sum in
      let at = rows.lowerBound * width
      kernels.normalize.gated_rms_norm_gradient(
        dy.floats + at, x.floats + at, gate.floats + at, weight.floats, dx.floats + at,
        dgate.floats + at, sum, Int64(rows.count), Int64(groups), Int64(groupWidth), epsilon)
    }
    return (dx, dgate, dweight)
  }

  /// How many groups the columns make, after checking every shape.
  private func gatedGroups(
    _ name: String, _ x: Tensor, _ gate: Tensor, _ weight: Tensor, _ groupWidth: Int
  ) -> Int {
    let width = x.shape.width
    require(
      gate.shape == x.shape && weight.shape == [width] && groupWidth > 0 && width % groupWidth == 0,
      """
      \(name): x \(x.shape), gate \(gate.shape), weight \(weight.shape), groups of \(groupWidth)
      """)
    return width / groupWidth
  }
}
