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
    forEachHostChunk(of: 0..<shape.count, width: MemoryLayout<Float>.stride) { elements, buffer in
      let values = buffer.bindMemory(to: Float.self)
      fill(elements, values)
      Tensor.converting(UnsafeRawBufferPointer(values), .float32, to: dtype, on: backend) {
        backend.write($0, to: storage.memory, at: elements.lowerBound * dtype.byteCount)
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
    let width = self.dtype.byteCount
    try forEachHostChunk(of: 0..<shape.count, width: width) { elements, buffer in
      backend.read(storage.memory, at: elements.lowerBound * width, into: buffer)
      try Tensor.converting(
        UnsafeRawBufferPointer(buffer), self.dtype, to: dtype, on: backend, body)
    }
  }

  /// Hands some of the tensor's bytes as they are to `body`, in order and a chunk at a time.
  func forEachChunk(
    of range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> Void
  ) rethrows {
    try forEachHostChunk(of: range, width: 1) { bytes, buffer in
      backend.read(storage.memory, at: bytes.lowerBound, into: buffer)
      try body(UnsafeRawBufferPointer(buffer))
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
    try CPUBackend.shared.withScratch(byteCount: count * target.byteCount) { buffer in
      backend.read(converted.storage.memory, at: 0, into: buffer)
      try body(UnsafeRawBufferPointer(buffer))
    }
  }
}

/// Calls `body` for each ``conversionChunk`` of `range`, in order, with room on the host for it.
/// - Parameter width: bytes of each of its elements.
private func forEachHostChunk(
  of range: Range<Int>, width: Int,
  _ body: (Range<Int>, UnsafeMutableRawBufferPointer) throws -> Void
) rethrows {
  try CPUBackend.shared.withScratch(byteCount: min(conversionChunk, range.count) * width) {
    buffer in
    for start in stride(from: range.lowerBound, to: range.upperBound, by: conversionChunk) {
      let chunk = start..<min(start + conversionChunk, range.upperBound)
      try body(chunk, UnsafeMutableRawBufferPointer(rebasing: buffer[..<(chunk.count * width)]))
    }
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
