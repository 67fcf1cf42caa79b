import MaTVLMTensor
import Synchronization

/// Every device function as the plainest loops there are, in double precision: slow, and what
/// other backends are judged by.
///
/// New memory is full of NaN, so a result that was not written is seen.
package final class ReferenceBackend: Backend {
  /// What is kept of a result that is stored as float32.
  package enum Precision: Sendable {
    /// What every device keeps.
    case float32
    /// The double beside the float32: for finite differences, which rounding would drown.
    case float64
  }

  package let name = "reference"
  package let activationType = DType.float32
  package let holdsQuantizedWeights = true
  package let cacheTypes = [DType.float32, .bfloat16]
  private let precision: Precision
  private let liveBytes = Atomic<Int>(0)

  package init(keeping precision: Precision = .float32) { self.precision = precision }

  /// Bytes of all tensors of this backend that exist now.
  package var liveByteCount: Int { liveBytes.load(ordering: .relaxed) }

  // MARK: Memory

  package func allocate(byteCount: Int) -> Memory {
    liveBytes.wrappingAdd(byteCount, ordering: .relaxed)
    let block = ReferenceBlock(byteCount: byteCount)
    return Memory(bits: UInt(bitPattern: Unmanaged.passRetained(block).toOpaque()))
  }

  package func free(_ memory: Memory, byteCount: Int) {
    liveBytes.wrappingSubtract(byteCount, ordering: .relaxed)
    handle(memory).release()
  }

  package func write(_ bytes: UnsafeRawBufferPointer, to memory: Memory, at offset: Int) {
    let block = handle(memory).takeUnretainedValue()
    precondition(offset >= 0 && offset + bytes.count <= block.bytes.count, "write: out of bounds")
    block.doubles = nil
    UnsafeMutableRawBufferPointer(rebasing: block.bytes[offset...]).copyMemory(from: bytes)
  }

  package func read(
    _ memory: Memory, at offset: Int, into bytes: UnsafeMutableRawBufferPointer
  ) {
    let block = handle(memory).takeUnretainedValue()
    precondition(offset >= 0 && offset + bytes.count <= block.bytes.count, "read: out of bounds")
    bytes.copyMemory(
      from: UnsafeRawBufferPointer(rebasing: block.bytes[offset..<offset + bytes.count]))
  }

  package func adopt(_ bytes: UnsafeRawBufferPointer, owner: any AnyObject & Sendable) -> Storage {
    let storage = Storage(self, byteCount: bytes.count)
    write(bytes, to: storage.memory, at: 0)
    return storage
  }

  package func zeros(_ shape: Shape, _ dtype: DType) -> Tensor {
    tensor(Array(repeating: 0, count: shape.count), shape, dtype)
  }

  package func convert(_ x: Tensor, to dtype: DType) -> Tensor {
    precondition(x.dtype.isWeight && dtype.isWeight || x.dtype == dtype, "convert")
    return tensor(values(of: x), x.shape, dtype)
  }

  private func handle(_ memory: Memory) -> Unmanaged<ReferenceBlock> {
    Unmanaged.fromOpaque(UnsafeRawPointer(bitPattern: memory.bits)!)
  }
}

// MARK: - Numbers in and out

extension ReferenceBackend {
  /// A tensor of these values, rounded to `dtype`.
  package func tensor(_ values: [Double], _ shape: Shape, _ dtype: DType = .float32) -> Tensor {
    let tensor = Tensor(uninitialized: shape, dtype, on: self)
    replace(tensor, with: values)
    return tensor
  }

  func tensor(_ grid: Grid, _ shape: Shape) -> Tensor { tensor(grid.values, shape) }

  /// Writes all of `tensor` in place.
  func replace(_ tensor: Tensor, with values: [Double]) {
    precondition(values.count == tensor.shape.count, "\(values.count) values for \(tensor.shape)")
    hostBytes(of: values, tensor.shape, as: tensor.dtype).withUnsafeBytes {
      write($0, to: tensor.storage.memory, at: 0)
    }
    if precision == .float64, tensor.dtype == .float32 {
      handle(tensor.storage.memory).takeUnretainedValue().doubles = values
    }
  }

  /// The values of a tensor of this backend, as exactly as they are kept.
  package func values(of x: Tensor) -> [Double] {
    precondition(x.backend === self, "a tensor of \(x.backend.name) given to \(name)")
    let block = handle(x.storage.memory).takeUnretainedValue()
    if let doubles = block.doubles { return doubles }
    return hostValues(in: UnsafeRawBufferPointer(block.bytes), x.shape, of: x.dtype)
  }

  /// The values of activations or of what is float32 everywhere, after a check of type and shape.
  func floats(_ x: Tensor, _ shape: Shape, _ what: StaticString) -> Grid {
    precondition(x.dtype == .float32, "\(what) is \(x.dtype), not float32")
    precondition(x.shape == shape, "\(what) is \(x.shape), not \(shape)")
    return Grid(width: shape.width, values(of: x))
  }

  /// The values of a matrix of weights of any type, after a check of its rows and columns;
  /// all dimensions but the first count as columns.
  func weights(_ x: Tensor, _ rows: Int, _ columns: Int, _ what: StaticString) -> Grid {
    precondition(x.dtype.isWeight, "\(what) is \(x.dtype)")
    precondition(
      x.shape.rows == rows && x.shape.width == columns,
      "\(what) is \(x.shape), not [\(rows), \(columns)]")
    return Grid(width: columns, values(of: x))
  }

  func integers(_ x: Tensor, _ count: Int, _ what: StaticString) -> [Int] {
    precondition(x.dtype == .int32, "\(what) is \(x.dtype), not int32")
    precondition(x.shape == [count], "\(what) is \(x.shape), not [\(count)]")
    return values(of: x).map { Int($0) }
  }
}

/// The memory of one tensor. One thread at a time uses a tensor that is written in place, as on
/// every device.
private final class ReferenceBlock: @unchecked Sendable {
  let bytes: UnsafeMutableRawBufferPointer
  var doubles: [Double]?

  init(byteCount: Int) {
    bytes = .allocate(byteCount: byteCount, alignment: 16)
    // NaN in every floating-point type.
    bytes.initializeMemory(as: UInt8.self, repeating: 0xFF)
  }

  deinit { bytes.deallocate() }
}
