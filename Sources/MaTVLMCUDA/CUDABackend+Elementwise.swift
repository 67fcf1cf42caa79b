import MaTVLMTensor

extension CUDABackend {
  package func add(_ a: Tensor, _ b: Tensor) -> Tensor { combine("add", a, b) }

  package func multiply(_ a: Tensor, _ b: Tensor) -> Tensor { combine("multiply", a, b) }

  package func scale(_ x: Tensor, by factor: Float) -> Tensor {
    let y = empty(x.shape, x.dtype)
    mapped("scale", y, [.tensor(y), .tensor(x), .float(factor)])
    return y
  }

  package func activate(_ x: Tensor, _ activation: Activation) -> Tensor {
    let y = empty(x.shape, x.dtype)
    mapped("activate", y, [.tensor(y), .tensor(x), .int32(activation.kernelCode)])
    return y
  }

  package func activateGradient(
    _ dy: Tensor, _ x: Tensor, _ activation: Activation
  ) -> Tensor {
    require(dy.shape == x.shape, "activateGradient: dy \(dy.shape), x \(x.shape)")
    let dx = empty(x.shape, sharedType("activateGradient", dy, x))
    mapped(
      "activateGradient", dx,
      [.tensor(dx), .tensor(dy), .tensor(x), .int32(activation.kernelCode)])
    return dx
  }

  private func combine(_ name: StaticString, _ a: Tensor, _ b: Tensor) -> Tensor {
    require(a.shape == b.shape, "\(name): \(a.shape) and \(b.shape)")
    let y = empty(a.shape, sharedType(name, a, b))
    mapped("\(name)", y, [.tensor(y), .tensor(a), .tensor(b)])
    return y
  }

  /// Queues a kernel that works on sixteen bytes of `y` a thread; the count is its last argument.
  private func mapped(_ name: String, _ y: Tensor, _ arguments: [KernelArgument]) {
    let lanes = 16 / y.dtype.byteCount
    launch(
      .elementwise, name, y.dtype, grid: Grid((y.shape.count + 256 * lanes - 1) / (256 * lanes)),
      arguments + [.int64(y.shape.count)])
  }
}

extension Activation {
  var kernelCode: Int {
    switch self {
    case .gelu: 0
    case .geluTanh: 1
    case .silu: 2
    }
  }
}
