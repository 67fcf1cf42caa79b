/// A contiguous, row-major block of numbers on a device; immutable once made.
///
/// A tensor that was computed from a trainable ``Parameter`` remembers how, so that
/// ``gradients(of:)`` can walk back.
public struct Tensor: Sendable {
  public let shape: Shape
  public let dtype: DType
  package let storage: Storage
  /// The operation that made this value; nil when nothing trainable was involved.
  package let history: History?

  package init(_ storage: Storage, _ shape: Shape, _ dtype: DType, history: History? = nil) {
    require(
      storage.byteCount >= dtype.byteCount(of: shape),
      "Tensor: \(shape) of \(dtype) does not fit \(storage.byteCount) bytes")
    self.shape = shape
    self.dtype = dtype
    self.storage = storage
    self.history = history
  }

  /// A tensor with undefined content, for a backend to fill.
  package init(uninitialized shape: Shape, _ dtype: DType = .float32, on backend: any Backend) {
    self.init(Storage(backend, byteCount: dtype.byteCount(of: shape)), shape, dtype)
  }

  /// Copies `values` to the device as float32.
  /// - Precondition: there are as many values as `shape` has elements.
  public init(_ values: [Float], _ shape: Shape, on device: Device = .cpu) {
    require(values.count == shape.count, "Tensor: \(values.count) values for \(shape)")
    self.init(uninitialized: shape, .float32, on: device.backend)
    values.withUnsafeBytes { backend.write($0, to: storage.memory, at: 0) }
  }

  /// Copies `values` to the device as int32: token ids, row numbers, labels.
  /// - Precondition: every value fits 32 bits.
  public init(indices values: [Int], on device: Device = .cpu) {
    self.init(uninitialized: [values.count], .int32, on: device.backend)
    values.map { Int32($0) }.withUnsafeBytes { backend.write($0, to: storage.memory, at: 0) }
  }

  /// All elements zero.
  public static func zeros(_ shape: Shape, _ dtype: DType = .float32, on device: Device = .cpu)
    -> Tensor
  {
    device.backend.zeros(shape, dtype)
  }

  package var backend: any Backend { storage.backend }

  public var device: Device { Device(storage.backend) }

  /// The same values without history.
  public var detached: Tensor { Tensor(storage, shape, dtype) }

  /// The same values, in the same memory, under another extent.
  /// - Precondition: both extents hold the same number of elements.
  public func reshaped(_ shape: Shape) -> Tensor {
    require(shape.count == self.shape.count, "reshaped: \(self.shape) to \(shape)")
    let extent = self.shape
    return Tensor(storage, shape, dtype).recording("reshaped", [self]) { [$0.reshaped(extent)] }
  }

  /// The first rows, in the same memory.
  /// - Precondition: there are as many, and the tensor has no history.
  package func firstRows(_ count: Int) -> Tensor {
    require(history == nil && count <= shape.rows, "firstRows: \(count) of \(shape)")
    return Tensor(storage, Shape([count] + shape.dimensions.dropFirst()), dtype)
  }

  /// The values as float32 on the host.
  /// - Precondition: the tensor holds floating-point numbers or quantised ones.
  public func array() -> [Float] {
    require(dtype.isWeight, "array: \(dtype) \(shape); use indices()")
    let source = dtype == .float32 ? self : backend.convert(detached, to: .float32)
    return source.hostCopy(of: Float.self)
  }

  /// The values of an int32 tensor on the host.
  public func indices() -> [Int] {
    require(dtype == .int32, "indices: \(dtype) \(shape)")
    return hostCopy(of: Int32.self).map(Int.init)
  }

  /// The only value of a one-element tensor.
  public func item() -> Float {
    require(shape.count == 1, "item: \(shape) is not one element")
    return array()[0]
  }

  private func hostCopy<Element>(of: Element.Type) -> [Element] {
    Array(unsafeUninitializedCapacity: shape.count) { buffer, count in
      backend.read(storage.memory, at: 0, into: UnsafeMutableRawBufferPointer(buffer))
      count = shape.count
    }
  }
}
