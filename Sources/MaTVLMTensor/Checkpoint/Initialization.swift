/// How the elements of a parameter begin that no checkpoint brings.
public enum Initialization: Sendable {
  case zeros
  case ones
  /// Normal with mean 0.
  case normal(deviation: Float)
  /// Uniform on [−bound, bound).
  case uniform(bound: Float)
  /// Each element by one call, in row-major order.
  case drawn(@Sendable (inout RandomGenerator) -> Float)
}

extension Initialization {
  /// Elements that share a generator; blocks have their own, so that threads can share a matrix.
  private static let block = 1 << 16

  /// A tensor of these values. They depend on `generator` and the shape only: not on the device, the
  /// number of threads or `dtype`, to which they are rounded.
  package func tensor(
    _ shape: Shape, _ dtype: DType, on backend: any Backend, using generator: RandomGenerator
  ) -> Tensor {
    require(dtype.isFloatingPoint, "Initialization: \(shape) of \(dtype)")
    switch self {
    case .zeros:
      return backend.zeros(shape, dtype)
    case .ones:
      return Tensor(filling: shape, dtype, on: backend) { _, values in values.update(repeating: 1) }
    case .normal(let deviation):
      return Self.drawingBlocks(shape, dtype, on: backend, using: generator) {
        Float($0.normal()) * deviation
      }
    case .uniform(let bound):
      return Self.drawingBlocks(shape, dtype, on: backend, using: generator) {
        Float($0.uniform(-Double(bound), Double(bound)))
      }
    case .drawn(let draw):
      var generator = generator
      return Tensor(filling: shape, dtype, on: backend) { _, values in
        for i in values.indices { values[i] = draw(&generator) }
      }
    }
  }

  private static func drawingBlocks(
    _ shape: Shape, _ dtype: DType, on backend: any Backend, using generator: RandomGenerator,
    _ draw: @Sendable (inout RandomGenerator) -> Float
  ) -> Tensor {
    require(conversionChunk % block == 0, "Initialization: a chunk is whole blocks")
    return Tensor(filling: shape, dtype, on: backend) { elements, values in
      nonisolated(unsafe) let values = values  // each block is written by one thread
      CPUBackend.shared.parallel(elements.count, grain: block) { range in
        var generator = generator.split(UInt64((elements.lowerBound + range.lowerBound) / block))
        for i in range { values[i] = draw(&generator) }
      }
    }
  }
}
