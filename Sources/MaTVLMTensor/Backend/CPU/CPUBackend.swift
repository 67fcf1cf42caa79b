import CMaTVLMKernels
import COpenBLAS
import Foundation
import Synchronization

/// The processor: our kernels for its instruction set.
///
/// Work is cut into items whose bounds depend on shapes only, and each item is computed by one
/// thread, so results are the same for every number of threads.
package final class CPUBackend: Backend {
  package static let shared = CPUBackend()

  package let name = "cpu"
  package let activationType = DType.float32
  package let cacheTypes = [DType.float32, .bfloat16]
  /// The kernels of one instruction set.
  let kernels: matvlm_kernels
  /// Whether these multiply bfloat16, twice as fast as float32.
  package var multipliesBFloat16: Bool { kernels.product.of_bf16 != nil }
  private let mayRound = Atomic(false)
  /// Whether they are written for vectors that this processor has, and not for any processor.
  let hasWideVectors: Bool
  private let allocator = CPUAllocator(keptLimit: CPUBackend.keptLimit)
  /// Bytes that are kept at most when tensors go away.
  static let keptLimit = 1 << 30
  private let threadCount = Atomic<Int>(ProcessInfo.processInfo.activeProcessorCount)

  /// - Parameter instructionSet: for tests; nil takes the fastest that this processor has, and an
  ///   instruction set that it does not have gives nil.
  package init?(_ instructionSet: matvlm_instruction_set) {
    guard let kernels = matvlm_kernels_for(instructionSet) else { return nil }
    self.kernels = kernels.pointee
    hasWideVectors = instructionSet != MATVLM_GENERIC
    openblas_set_num_threads(1)  // which never splits a sum
  }

  private convenience init() { self.init(matvlm_best_instruction_set())! }

  /// How many threads compute; at least one.
  package var threads: Int {
    get { threadCount.load(ordering: .relaxed) }
    set { threadCount.store(max(1, newValue), ordering: .relaxed) }
  }

  /// Whether rows are rounded to bfloat16 for products with weights in bfloat16, if the processor multiplies
  /// it; otherwise such weights are unpacked to float32.
  package var roundsRows: Bool {
    get { multipliesBFloat16 && mayRound.load(ordering: .relaxed) }
    set { mayRound.store(newValue, ordering: .relaxed) }
  }

  /// Runs `body` for every item of `0..<items`, on as many threads as are set.
  func parallel(_ items: Int, _ body: @Sendable (Int) -> Void) {
    let workers = min(threads, items)
    guard workers > 1 else {
      for item in 0..<items { body(item) }
      return
    }
    let isDone = withoutActuallyEscaping(body) { body in
      withUnsafePointer(to: body) { body in
        matvlm_work_together(
          items, Int32(workers),
          { $0.assumingMemoryBound(to: (@Sendable (Int) -> Void).self).pointee($1) }, body)
      }
    }
    // Work within work, or beside it: the threads that stay are taken.
    if !isDone { DispatchQueue.concurrentPerform(iterations: items, execute: body) }
  }

  /// Runs `body` for ranges that cover `0..<count`, each of `grain` items but the last.
  func parallel(_ count: Int, grain: Int, _ body: @Sendable (Range<Int>) -> Void) {
    parallel((count + grain - 1) / grain) { item in
      body(item * grain..<min(count, (item + 1) * grain))
    }
  }

  // MARK: Memory

  package func allocate(byteCount: Int) -> Memory { Memory(bits: allocator.allocate(byteCount)) }

  package func free(_ memory: Memory, byteCount: Int) { allocator.free(memory.bits, byteCount) }

  package func releaseUnusedMemory(beside tensors: [Tensor]) {
    allocator.releaseKept()
    for tensor in tensors where !tensor.storage.isBorrowed {
      allocator.releaseSlack(tensor.storage.memory.bits, tensor.storage.byteCount)
    }
  }

  package func write(_ bytes: UnsafeRawBufferPointer, to memory: Memory, at offset: Int) {
    guard let start = bytes.baseAddress else { return }
    nonisolated(unsafe) let base = start  // parts are read, each by one thread
    // New memory is cleared by the system at the first touch, which takes longer than the copy.
    parallel(bytes.count, grain: 8 << 20) { range in
      (memory.pointer + offset + range.lowerBound).copyMemory(
        from: base + range.lowerBound, byteCount: range.count)
    }
  }

  package func read(_ memory: Memory, at offset: Int, into bytes: UnsafeMutableRawBufferPointer) {
    guard let base = bytes.baseAddress else { return }
    base.copyMemory(from: memory.pointer + offset, byteCount: bytes.count)
  }

  package func adopt(_ bytes: UnsafeRawBufferPointer, owner: any AnyObject & Sendable) -> Storage {
    Storage(
      self, borrowing: Memory(bits: UInt(bitPattern: bytes.baseAddress)), byteCount: bytes.count,
      from: owner)
  }

  package func zeros(_ shape: Shape, _ dtype: DType) -> Tensor {
    let y = Tensor(uninitialized: shape, dtype, on: self)
    memset(y.storage.memory.pointer, 0, dtype.byteCount(of: shape))
    return y
  }
}

extension Memory {
  var pointer: UnsafeMutableRawPointer { UnsafeMutableRawPointer(bitPattern: bits)! }
}

extension Tensor {
  /// The elements in this process's memory; only the CPU backend may ask.
  var floats: UnsafeMutablePointer<Float> {
    require(dtype == .float32, "\(shape) is \(dtype), not float32")
    return storage.memory.pointer.assumingMemoryBound(to: Float.self)
  }

  /// The bits of bfloat16 or float16 elements.
  var halves: UnsafeMutablePointer<UInt16> {
    require(
      dtype == .bfloat16 || dtype == .float16, "\(shape) is \(dtype), not bfloat16 or float16")
    return storage.memory.pointer.assumingMemoryBound(to: UInt16.self)
  }

  var int32s: UnsafeMutablePointer<Int32> {
    require(dtype == .int32, "\(shape) is \(dtype), not int32")
    return storage.memory.pointer.assumingMemoryBound(to: Int32.self)
  }
}
