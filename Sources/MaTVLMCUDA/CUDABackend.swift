import Foundation
import MaTVLMTensor
import Synchronization

/// One NVIDIA card: cuBLASLt for matrix products, our kernels for everything else.
///
/// Work is queued on one stream and runs behind the caller's back, so a method cannot throw what
/// went wrong in it. The first failure is kept in ``failure``; from then on nothing is queued,
/// reading gives bits that are all ones (not a number; token −1), and whoever wants to go on asks
/// ``Device/check()`` first.
package final class CUDABackend: Backend {
  package let name: String
  package let activationType: DType
  let device: CUDADevice
  let kernels: KernelLibrary
  let products: MatrixProducts
  let memory: Mutex<CachingAllocator>
  let tables = Mutex(DeviceTables())
  /// Where weights lie that no queued work can be writing; see `settle`.
  let settled = Mutex<Set<UInt64>>([])
  /// Weights in another type than they are stored in, by where they are stored; see `weights(_:in:)`.
  let conversions = Mutex<[UInt64: Tensor]>([:])
  /// Where uint32 zeros lie that blocks count themselves in; a kernel leaves zeros.
  let arrivals: UInt64
  static let mostArrivals = 1 << 16
  /// Two more of these zeros: `struct Meeting` of row_products.cuh.
  var meeting: KernelArgument {
    let first = arrivals + UInt64(4 * Self.mostArrivals)
    return .words([first, first + 4])
  }
  /// Where the first output lies of the product that was queued last, if that was one of few rows and
  /// nothing was queued since: then all work before it has ended when the next kernel begins.
  let lastInTurn = Mutex<UInt64?>(nil)
  private let firstFailure = Mutex<(any Error)?>(nil)

  /// - Parameters:
  ///   - activationType: float32 or bfloat16.
  ///   - cacheFolder: where compiled kernels are kept.
  /// - Throws: ``CUDAError`` when a library or the card is missing or fails.
  init(
    ordinal: Int, activationType: DType, search: CUDASearchPath, cacheFolder: URL
  ) throws {
    require(
      activationType == .float32 || activationType == .bfloat16,
      "cuda: activations are float32 or bfloat16, not \(activationType)")
    let device = try CUDADevice(CUDADriver(search), ordinal: ordinal)
    self.device = device
    self.activationType = activationType
    name = "cuda:\(ordinal)"
    let compiler = try RuntimeCompiler(search)
    try device.driver.version.require(compiler.version, by: compiler.path, device.driver.path)
    kernels = KernelLibrary(device, compiler, folder: cacheFolder)
    products = try MatrixProducts(MatrixProductLibrary(search), device)
    memory = Mutex(
      CachingAllocator(
        obtain: { try device.allocate($0) }, release: { try device.release($0) }))
    let counters = 4 * (Self.mostArrivals + 2)
    arrivals = try device.allocate(counters)
    try device.driver.check(
      device.driver.fill(arrivals, 0, counters, device.stream), "cuMemsetD8Async")
  }

  /// Whoever has a tensor here keeps this alive, so that no memory is in use. A card that was lost
  /// gives nothing back before the program ends, and says so again.
  deinit {
    try? device.makeCurrent()
    try? device.synchronize()
    try? memory.withLock { try $0.releaseAll() }
    try? device.release(arrivals)
    try? products.releaseWorkspace()
  }

  package var failure: (any Error)? { firstFailure.withLock { $0 } }

  /// Runs `body` with the card current, unless something failed before; keeps what it throws.
  /// - Parameter queues: whether `body` may queue work.
  @discardableResult
  func attempt<R>(queues: Bool = true, _ body: () throws -> R) -> R? {
    guard failure == nil else { return nil }
    if queues { lastInTurn.withLock { $0 = nil } }
    do {
      try device.makeCurrent()
      return try body()
    } catch {
      firstFailure.withLock { $0 = $0 ?? device.explained(error) }
      return nil
    }
  }

  /// Queues a kernel.
  /// - Parameter overlaps: whether it may begin before the one before it has ended.
  func launch(
    _ source: KernelSource, _ name: String, grid: Grid, block: Int = 256, sharedBytes: Int = 0,
    overlaps: Bool = true, _ arguments: [KernelArgument]
  ) {
    attempt {
      let kernel = try kernels.kernel(source, name, sharedBytes: sharedBytes)
      try device.launch(
        kernel, grid: grid, block: block, sharedBytes: sharedBytes, overlaps: overlaps,
        arguments)
    }
  }

  /// Queues a kernel of a file that needs no constants.
  func launch(
    _ file: KernelFile, _ name: String, _ element: DType, grid: Grid, block: Int = 256,
    _ arguments: [KernelArgument]
  ) {
    launch(KernelSource(file, element), name, grid: grid, block: block, arguments)
  }

  /// The type that all of `tensors` have.
  func sharedType(_ operation: StaticString, _ tensors: Tensor?...) -> DType {
    let types = Set(tensors.compactMap { $0?.dtype })
    require(types.count == 1, "\(operation): tensors of types \(types)")
    return types.first!
  }

  func empty(_ shape: Shape, _ dtype: DType) -> Tensor {
    Tensor(uninitialized: shape, dtype, on: self)
  }

  /// Waits until everything that was queued is done.
  package func synchronize() { attempt { try device.synchronize() } }

  /// Bytes of the card's memory that tensors have, now and at most since the last call.
  package func takeMemoryPeak() -> (used: Int, peak: Int) {
    memory.withLock { memory in
      defer { memory.resetPeak() }
      return (memory.used, memory.peak)
    }
  }

  // MARK: Memory

  package var memoryInUse: Int? { memory.withLock(\.used) }

  package func allocate(byteCount: Int) -> Memory {
    guard byteCount > 0 else { return Memory(bits: 0) }
    let address = attempt(queues: false) { try memory.withLock { try $0.allocate(byteCount) } }
    return Memory(bits: UInt(address ?? 0))
  }

  package func free(_ memory: Memory, byteCount: Int) {
    guard memory.bits != 0 else { return }
    forget(UInt64(memory.bits))
    self.memory.withLock { $0.free(UInt64(memory.bits), byteCount: byteCount) }
  }

  package func releaseUnusedMemory(beside tensors: [Tensor]) {
    attempt(queues: false) { try memory.withLock { try $0.trim() } }
  }

  package func write(_ bytes: UnsafeRawBufferPointer, to memory: Memory, at offset: Int) {
    guard let base = bytes.baseAddress, bytes.count > 0 else { return }
    forget(UInt64(memory.bits))
    attempt {
      // Memory that is not page-locked is staged by the driver before the call returns.
      try device.driver.check(
        device.driver.copyIn(
          UInt64(memory.bits) + UInt64(offset), base, bytes.count, device.stream),
        "cuMemcpyHtoDAsync(\(bytes.count))")
    }
  }

  package func read(_ memory: Memory, at offset: Int, into bytes: UnsafeMutableRawBufferPointer) {
    guard let base = bytes.baseAddress, bytes.count > 0 else { return }
    let done: Void? = attempt {
      try device.driver.check(
        device.driver.copyOut(
          base, UInt64(memory.bits) + UInt64(offset), bytes.count, device.stream),
        "cuMemcpyDtoHAsync(\(bytes.count))")
      try device.synchronize()
    }
    if done == nil { memset(base, 0xff, bytes.count) }
  }

  package func adopt(
    _ bytes: UnsafeRawBufferPointer, owner: any AnyObject & Sendable
  ) -> Storage {
    let storage = Storage(self, byteCount: bytes.count)
    write(bytes, to: storage.memory, at: 0)
    return storage
  }

  package func zeros(_ shape: Shape, _ dtype: DType) -> Tensor {
    let y = empty(shape, dtype)
    let count = shape.count * dtype.byteCount
    guard count > 0 else { return y }
    attempt {
      try device.driver.check(
        device.driver.fill(y.address, 0, count, device.stream), "cuMemsetD8Async(\(count))")
    }
    return y
  }

  package func convert(_ x: Tensor, to dtype: DType) -> Tensor {
    if x.dtype != dtype, x.dtype.quantization ?? dtype.quantization != nil {
      return convertQuantized(x, to: dtype)
    }
    let y = empty(x.shape, dtype)
    let count = x.shape.count
    guard count > 0 else { return y }
    if x.dtype == dtype {
      let bytes = dtype.byteCount(of: x.shape)
      attempt {
        try device.driver.check(
          device.driver.copyWithin(y.address, x.address, bytes, device.stream),
          "cuMemcpyDtoDAsync(\(bytes))")
      }
      return y
    }
    if x.dtype == .float32, dtype == .bfloat16, count % 4 == 0 {
      launch(
        .elementwise, "floatsToBfloats", .float32,
        grid: Grid(min((count / 4 + 255) / 256, 16 * device.multiprocessors)),
        [.tensor(y), .tensor(x), .int64(count / 4)])
      return y
    }
    let blocks = min((count + 255) / 256, 64 * device.multiprocessors)
    launch(
      .elementwise, "convert", .float32, grid: Grid(blocks),
      [
        .tensor(y), .int32(dtype.kernelCode), .tensor(x), .int32(x.dtype.kernelCode),
        .int64(count),
      ])
    return y
  }

  /// `x` itself where it has that type already.
  func converted(_ x: Tensor, to dtype: DType) -> Tensor {
    x.dtype == dtype ? x : convert(x, to: dtype)
  }
}

extension DType {
  /// The number that kernels know a floating-point type by.
  var kernelCode: Int {
    switch self {
    case .float32: 0
    case .bfloat16: 1
    case .float16: 2
    case .int32, .quantized: preconditionFailure("\(self) is not a floating-point type")
    }
  }
}

extension Device {
  /// An NVIDIA card.
  ///
  /// Opens the driver, NVRTC and cuBLASLt (CUDA 12 or 13), compiles kernels for the card as they are
  /// needed and keeps them in `cacheFolder`. Calling it again gives another device with memory of
  /// its own.
  /// - Parameters:
  ///   - ordinal: the card's number, from 0.
  ///   - precision: the type of activations: bfloat16, or float32, which is exact to about 1e-6 and
  ///     several times slower.
  ///   - cudaPath: a toolkit's folder or a folder of libraries to search first.
  ///   - cacheFolder: nil: `matvlm/cuda` in the user's cache folder.
  /// - Precondition: `precision` is float32 or bfloat16.
  /// - Throws: ``CUDAError`` that names what is missing and where it was looked for.
  public static func cuda(
    _ ordinal: Int = 0, precision: DType = .bfloat16, cudaPath: String? = nil,
    cacheFolder: URL? = nil
  ) throws -> Device {
    let folder =
      cacheFolder
      ?? FileManager.default.urls(for: .cachesDirectory, in: .userDomainMask).first?
      .appending(path: "matvlm/cuda")
      ?? FileManager.default.temporaryDirectory.appending(path: "matvlm-cuda")
    return Device(
      try CUDABackend(
        ordinal: ordinal, activationType: precision, search: CUDASearchPath(cudaPath: cudaPath),
        cacheFolder: folder))
  }
}
