import CMaTVLMKernels

extension CPUBackend {
  typealias Unary =
    @convention(c) (UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int64) -> Void
  private typealias Binary =
    @convention(c) (UnsafePointer<Float>, UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int64)
    -> Void

  package func add(_ a: Tensor, _ b: Tensor) -> Tensor {
    binary("add", kernels.elementwise.add, a, b)
  }

  package func multiply(_ a: Tensor, _ b: Tensor) -> Tensor {
    binary("multiply", kernels.elementwise.multiply, a, b)
  }

  package func scale(_ x: Tensor, by factor: Float) -> Tensor {
    let y = Tensor(uninitialized: x.shape, on: self)
    parallel(x.shape.count, grain: Self.elementGrain) { [self] range in
      let at = range.lowerBound
      kernels.elementwise.scale(x.floats + at, factor, y.floats + at, Int64(range.count))
    }
    return y
  }

  package func activate(_ x: Tensor, _ activation: Activation) -> Tensor {
    let kernel = activationKernel(activation)
    let y = Tensor(uninitialized: x.shape, on: self)
    parallel(x.shape.count, grain: Self.elementGrain) { range in
      let at = range.lowerBound
      kernel(x.floats + at, y.floats + at, Int64(range.count))
    }
    return y
  }

  /// The kernel of an activation; its output may be its input.
  func activationKernel(_ activation: Activation) -> Unary {
    switch activation {
    case .gelu: kernels.elementwise.gelu
    case .geluTanh: kernels.elementwise.gelu_tanh
    case .silu: kernels.elementwise.silu
    }
  }

  package func activateGradient(_ dy: Tensor, _ x: Tensor, _ activation: Activation) -> Tensor {
    let kernel: Binary =
      switch activation {
      case .gelu: kernels.elementwise.gelu_gradient
      case .geluTanh: kernels.elementwise.gelu_tanh_gradient
      case .silu: kernels.elementwise.silu_gradient
      }
    return binary("activateGradient", kernel, dy, x)
  }

  private func binary(_ name: String, _ kernel: Binary, _ a: Tensor, _ b: Tensor) -> Tensor {
    require(a.shape == b.shape, "\(name): \(a.shape) and \(b.shape)")
    let y = Tensor(uninitialized: a.shape, on: self)
    parallel(a.shape.count, grain: Self.elementGrain) { range in
      let at = range.lowerBound
      kernel(a.floats + at, b.floats + at, y.floats + at, Int64(range.count))
    }
    return y
  }
}
