import CMaTVLMKernels

extension CPUBackend {
  package func stateSpaceDuality(
    _ inputs: StateSpaceInputs, _ geometry: StateSpaceGeometry, _ segments: Segments,
    states: [Tensor]?
  ) -> Tensor {
    geometry.requireShapes(inputs, segments, states, "stateSpaceDuality")
    let (width, stateWidth) = (geometry.headWidth, geometry.stateWidth)
    let y = Tensor(uninitialized: [segments.rows, geometry.heads * width], on: self)
    parallel(segments.count * geometry.heads) { item in
      let (segment, head) = (item / geometry.heads, item % geometry.heads)
      guard segments.lengths[segment] > 0 else { return }
      var scan = Self.scan(inputs, geometry, segments, segment, head)
      scan.y = y.floats + segments.starts[segment] * y.shape.width + head * width
      scan.state = states.map { $0[segment].floats + head * width * stateWidth }
      self.withScratch(matvlm_scan_scratch(width, stateWidth)) {
        self.kernels.sequence.scan(&scan, $0)
      }
    }
    return y
  }

  package func stateSpaceDualityGradient(
    _ dy: Tensor, _ inputs: StateSpaceInputs, _ geometry: StateSpaceGeometry, _ segments: Segments
  ) -> StateSpaceInputs {
    geometry.requireShapes(inputs, segments, nil, "stateSpaceDualityGradient")
    require(
      dy.shape == [segments.rows, geometry.heads * geometry.headWidth],
      "stateSpaceDualityGradient: dy \(dy.shape), \(geometry)")
    let fresh = { (like: Tensor) in Tensor(uninitialized: like.shape, on: self) }
    let gradients = StateSpaceInputs(
      x: fresh(inputs.x), b: fresh(inputs.b), c: fresh(inputs.c), dt: fresh(inputs.dt),
      dtBias: fresh(inputs.dtBias), aLog: fresh(inputs.aLog), d: fresh(inputs.d))
    let partial = zeros([segments.count, geometry.heads, 3], .float32)
    let group = geometry.heads / geometry.groups
    parallel(segments.count * geometry.groups) { item in
      let segment = item / geometry.groups
      guard segments.lengths[segment] > 0 else { return }
      for member in 0..<group {
        let head = item % geometry.groups * group + member
        let sums = self.differentiate(
          dy, inputs, geometry, segments, segment, head, adding: member > 0, into: gradients)
        let to = partial.floats + (segment * geometry.heads + head) * 3
        (to[0], to[1], to[2]) = (Float(sums.0), Float(sums.1), Float(sums.2))
      }
    }
    for (index, gradient) in [gradients.dtBias, gradients.aLog, gradients.d].enumerated() {
      for head in 0..<geometry.heads {
        gradient.floats[head] = Float(
          (0..<segments.count).reduce(0.0) { sum, segment in
            sum + Double(partial.floats[(segment * geometry.heads + head) * 3 + index])
          })
      }
    }
    return gradients
  }

  /// The gradients of one head of one segment; returns those of dtBias, aLog and d.
  private func differentiate(
    _ dy: Tensor, _ inputs: StateSpaceInputs, _ geometry: StateSpaceGeometry,
    _ segments: Segments, _ segment: Int, _ head: Int, adding: Bool,
    into gradients: StateSpaceInputs
  ) -> (Double, Double, Double) {
    let scan = Self.scan(inputs, geometry, segments, segment, head)
    var arguments = matvlm_scan_gradient()
    arguments.forward = scan
    arguments.dy = UnsafePointer(
      dy.floats + segments.starts[segment] * dy.shape.width + head * geometry.headWidth)
    arguments.add = adding ? 1 : 0
    arguments.dx = gradients.x.floats + (scan.x - UnsafePointer(inputs.x.floats))
    arguments.db = gradients.b.floats + (scan.b - UnsafePointer(inputs.b.floats))
    arguments.dc = gradients.c.floats + (scan.c - UnsafePointer(inputs.c.floats))
    arguments.ddt = gradients.dt.floats + (scan.dt - UnsafePointer(inputs.dt.floats))
    let scratch = matvlm_scan_gradient_scratch(
      scan.rows, scan.head_width, scan.state_width, scan.chunk)
    withScratch(scratch) { kernels.sequence.scan_gradient(&arguments, $0) }
    return arguments.parameters
  }

  /// One head of one segment, without its state and output.
  private static func scan(
    _ inputs: StateSpaceInputs, _ geometry: StateSpaceGeometry, _ segments: Segments,
    _ segment: Int, _ head: Int
  ) -> matvlm_scan {
    let (start, group) = (segments.starts[segment], head / (geometry.heads / geometry.groups))
    let (width, stateWidth) = (geometry.headWidth, geometry.stateWidth)
    var scan = matvlm_scan()
    scan.rows = segments.lengths[segment]
    (scan.head_width, scan.state_width) = (width, stateWidth)
    scan.chunk = min(geometry.chunk, Int(MATVLM_TILE))
    (scan.x_stride, scan.b_stride) = (inputs.x.shape.width, inputs.b.shape.width)
    (scan.c_stride, scan.dt_stride) = (inputs.c.shape.width, geometry.heads)
    scan.y_stride = geometry.heads * width
    scan.x = UnsafePointer(inputs.x.floats + start * scan.x_stride + group * width)
    scan.b = UnsafePointer(inputs.b.floats + start * scan.b_stride + group * stateWidth)
    scan.c = UnsafePointer(inputs.c.floats + start * scan.c_stride + head * stateWidth)
    scan.dt = UnsafePointer(inputs.dt.floats + start * scan.dt_stride + head)
    scan.dt_bias = inputs.dtBias.floats[head]
    scan.a_log = inputs.aLog.floats[head]
    scan.d = inputs.d.floats[head]
    return scan
  }
}

extension StateSpaceGeometry {
  func requireShapes(
    _ inputs: StateSpaceInputs, _ segments: Segments, _ states: [Tensor]?, _ name: String
  ) {
    let (rows, state): (Int, Shape) = (segments.rows, [heads, headWidth, stateWidth])
    require(
      inputs.x.shape == [rows, groups * headWidth] && inputs.b.shape == [rows, groups * stateWidth]
        && inputs.c.shape == [rows, heads * stateWidth] && inputs.dt.shape == [rows, heads],
      "\(name): x \(inputs.x.shape), b \(inputs.b.shape), c \(inputs.c.shape), dt "
        + "\(inputs.dt.shape) of \(rows) rows, \(self)")
    require(
      [inputs.dtBias, inputs.aLog, inputs.d].allSatisfy { $0.shape == [heads] },
      "\(name): dtBias \(inputs.dtBias.shape), aLog \(inputs.aLog.shape), d \(inputs.d.shape) of "
        + "\(heads) heads")
    if let states {
      require(
        states.count == segments.count && states.allSatisfy { $0.shape == state },
        "\(name): states \(states.map(\.shape)), not \(segments.count) of \(state)")
    }
  }
}
