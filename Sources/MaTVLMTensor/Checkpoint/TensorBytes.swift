/// How many elements are converted at a time: bounds the memory that converting a large matrix
/// takes beside the matrix itself.
let conversionChunk = 1 << 22

extension Tensor {
  /// A tensor in memory of its own, from host bytes at any alignment.
  package init(
    copying bytes: UnsafeRawBufferPointer, _ shape: Shape, _ dtype: DType,
    on backend: any Backend
  ) {
    require(
      bytes.count == dtype.byteCount(of: shape), "Tensor: \(bytes.count) bytes for \(shape)")
    self.init(uninitialized: shape, dtype, on: backend)
    backend.write(bytes, to: storage.memory, at: 0)
  }

  /// A tensor whose float32 values `fill` makes on the host, a chunk at a time and in order; the
  /// device rounds them to `dtype`.
  init(
    filling shape: Shape, _ dtype: DType, on backend: any Backend,
    by fill: (_ elements: Range<Int>, _ values: UnsafeMutableBufferPointer<Float>) -> Void
  ) {
    self.init(uninitialized: shape, dtype, on: backend)
    guard backend.holdsValues else { return }
    let values = UnsafeMutableBufferPointer<Float>.allocate(
      capacity: min(conversionChunk, shape.count))
    defer { values.deallocate() }
    for start in stride(from: 0, to: shape.count, by: conversionChunk) {
      let elements = start..<min(start + conversionChunk, shape.count)
      let part = UnsafeMutableBufferPointer(rebasing: values[..<elements.count])
      fill(elements, part)
      Tensor.converting(UnsafeRawBufferPointer(part), .float32, to: dtype, on: backend) {
        backend.write($0, to: storage.memory, at: start * dtype.byteCount)
      }
    }
  }

  /// The first bytes as they are stored on the device.
  package func leadingBytes(atMost count: Int) -> [UInt8] {
    let count = min(count, dtype.byteCount(of: shape))
    return Array(unsafeUninitializedCapacity: count) { buffer, written in
      backend.read(storage.memory, at: 0, into: UnsafeMutableRawBufferPointer(buffer))
      written = count
    }
  }

  /// Hands the values, rounded to `dtype` by the device, to `body` as host bytes, in order and a
  /// chunk at a time.
  func forEachChunk(as dtype: DType, _ body: (UnsafeRawBufferPointer) throws -> Void) rethrows {
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: min(conversionChunk, shape.count) * self.dtype.byteCount, alignment: 64)
    defer { buffer.deallocate() }
    for start in stride(from: 0, to: shape.count, by: conversionChunk) {
      let count = min(conversionChunk, shape.count - start)
      let part = UnsafeMutableRawBufferPointer(
        rebasing: buffer[..<(count * self.dtype.byteCount)])
      backend.read(storage.memory, at: start * self.dtype.byteCount, into: part)
      try Tensor.converting(
        UnsafeRawBufferPointer(part), self.dtype, to: dtype, on: backend, body)
    }
  }

  /// Hands some of the tensor's bytes as they are to `body`, in order and a chunk at a time.
  func forEachChunk(
    of range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> Void
  ) rethrows {
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: min(conversionChunk, range.count), alignment: 64)
    defer { buffer.deallocate() }
    for start in stride(from: range.lowerBound, to: range.upperBound, by: conversionChunk) {
      let count = min(conversionChunk, range.upperBound - start)
      let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
      backend.read(storage.memory, at: start, into: part)
      try body(UnsafeRawBufferPointer(part))
    }
  }

  private static func converting(
    _ bytes: UnsafeRawBufferPointer, _ source: DType, to target: DType, on backend: any Backend,
    _ body: (UnsafeRawBufferPointer) throws -> Void
  ) rethrows {
    guard source != target else { return try body(bytes) }
    let count = bytes.count / source.byteCount
    let converted = backend.convert(
      Tensor(copying: bytes, [count], source, on: backend), to: target)
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: count * target.byteCount, alignment: 64)
    defer { buffer.deallocate() }
    backend.read(converted.storage.memory, at: 0, into: buffer)
    try body(UnsafeRawBufferPointer(buffer))
  }
}

extension SafetensorsFile {
  /// A tensor of this file in memory of its own, rounded to `dtype` by the device.
  /// - Precondition: both types are the same, or floating-point types of ours.
  package func tensor(_ entry: Entry, as dtype: DType, on device: Device) -> Tensor {
    let stored = entry.type.parameterType ?? .int32
    require(
      entry.type == SafetensorsType(stored)
        && (stored == dtype || stored.isFloatingPoint && dtype.isFloatingPoint),
      "tensor: \(entry.name) is \(entry.type.rawValue), not \(dtype)")
    let tensor = Tensor(copying: bytes(of: entry), entry.shape, stored, on: device.backend)
    return stored == dtype ? tensor : device.backend.convert(tensor, to: dtype)
  }
}
