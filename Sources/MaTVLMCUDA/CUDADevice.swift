import CMaTVLMCUDASources
import Synchronization

/// One card: its context, the stream on which all work is queued, and its properties.
final class CUDADevice: @unchecked Sendable {  // handles are set once; the driver is thread-safe
  let driver: CUDADriver
  let ordinal: Int
  let name: String
  /// Ten times the compute capability: 90 for Hopper.
  let architecture: Int
  let multiprocessors: Int
  /// Bytes of shared memory that a block can have.
  let mostSharedBytes: Int
  let stream: UnsafeMutableRawPointer
  private let context: UnsafeMutableRawPointer
  /// What watches launches, while somebody wants to know where time goes.
  let profile = Mutex<LaunchProfile?>(nil)

  /// What kernels use: bfloat16 tensor products and copies in the background.
  private static let neededArchitecture = 80

  /// - Throws: ``CUDAError`` when there is no such card or it is too old.
  init(_ driver: CUDADriver, ordinal: Int) throws {
    self.driver = driver
    self.ordinal = ordinal
    try driver.check(driver.initialize(0), "cuInit")
    var count: Int32 = 0
    try driver.check(driver.deviceCount(&count), "cuDeviceGetCount")
    guard (0..<Int(count)).contains(ordinal) else {
      throw CUDAError.noSuchDevice(ordinal: ordinal, count: Int(count))
    }
    var device: Int32 = 0
    try driver.check(driver.deviceGet(&device, Int32(ordinal)), "cuDeviceGet")
    var text = [CChar](repeating: 0, count: 256)
    try driver.check(driver.deviceName(&text, 255, device), "cuDeviceGetName")
    name = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    func attribute(_ number: Int32) throws -> Int {
      var value: Int32 = 0
      try driver.check(driver.deviceAttribute(&value, number, device), "cuDeviceGetAttribute")
      return Int(value)
    }
    architecture = try 10 * attribute(75) + attribute(76)
    multiprocessors = try attribute(16)
    mostSharedBytes = try attribute(97)  // MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
    guard architecture >= Self.neededArchitecture else {
      throw CUDAError.unsupportedDevice(
        name: name, architecture: architecture, needed: Self.neededArchitecture)
    }
    context = try driver.handle("cuDevicePrimaryCtxRetain") {
      driver.retainPrimaryContext($0, device)
    }
    try driver.check(driver.setCurrentContext(context), "cuCtxSetCurrent")
    stream = try Self.makeStream(driver)
  }

  private static func makeStream(_ driver: CUDADriver) throws -> CUDADriver.Handle {
    let nonBlocking: UInt32 = 1
    return try driver.handle("cuStreamCreate") { driver.createStream($0, nonBlocking) }
  }

  /// Another stream of the current card, for work beside that of ``stream``.
  func makeStream() throws -> CUDADriver.Handle { try Self.makeStream(driver) }

  /// An event that takes no time.
  func makeEvent() throws -> CUDADriver.Handle {
    let withoutTiming: UInt32 = 2  // CU_EVENT_DISABLE_TIMING
    return try driver.handle("cuEventCreate") { driver.createEvent($0, withoutTiming) }
  }

  /// Makes what will be queued on `later` wait for what is queued on `earlier` now.
  /// - Parameter event: it may be used again at once: a wait is for what it stood for at the call.
  func order(
    _ later: CUDADriver.Handle, behind earlier: CUDADriver.Handle, by event: CUDADriver.Handle
  ) throws {
    try driver.check(driver.recordEvent(event, earlier), "cuEventRecord")
    try driver.check(driver.waitForEvent(later, event, 0), "cuStreamWaitEvent")
  }

  /// Makes this card the calling thread's; every use from Swift begins so, because tasks change
  /// threads.
  func makeCurrent() throws {
    try driver.check(driver.setCurrentContext(context), "cuCtxSetCurrent")
  }

  /// CUresult of failures after which a context takes no more work.
  private static let lostCodes: Set<Int> = [
    46,  // CUDA_ERROR_DEVICE_UNAVAILABLE
    214, 220,  // errors of memory and of NVLink that could not be corrected
    700, 702, 709, 710,  // an illegal address, a timeout, a context that is gone, an assertion
    714, 715, 716, 717, 718, 719, 721,  // kernels that went astray, and errors that were contained
    999,  // CUDA_ERROR_UNKNOWN: what a card that fell off the bus gives
  ]

  /// The error that says which card was lost, where a call failed by that.
  func explained(_ error: any Error) -> any Error {
    guard case CUDAError.callFailed(let call, let code, let meaning) = error,
      Self.lostCodes.contains(code)
    else { return error }
    return CUDAError.deviceLost(
      device: "cuda:\(ordinal) (\(name))", call: call, code: code, meaning: meaning)
  }

  func allocate(_ byteCount: Int) throws -> UInt64 {
    var address: UInt64 = 0
    let status = driver.allocateMemory(&address, byteCount)
    let outOfMemory: Int32 = 2
    if status == outOfMemory {
      let (free, total) = try memory()
      throw CUDAError.outOfMemory(wanted: byteCount, inUse: total - free, total: total)
    }
    try driver.check(status, "cuMemAlloc(\(byteCount))")
    return address
  }

  func release(_ address: UInt64) throws {
    try driver.check(driver.freeMemory(address), "cuMemFree")
  }

  /// Bytes free and bytes in all.
  func memory() throws -> (free: Int, total: Int) {
    var (free, total) = (0, 0)
    try driver.check(driver.memoryInfo(&free, &total), "cuMemGetInfo")
    return (free, total)
  }

  /// Waits until all queued work is done.
  func synchronize() throws {
    try driver.check(driver.synchronizeStream(stream), "cuStreamSynchronize")
  }

  /// Queues what `queue` launches, under the eyes of a profile if there is one.
  func watched(_ name: @autoclosure () -> String, _ queue: () throws -> Void) throws {
    guard let profile = profile.withLock({ $0 }) else { return try queue() }
    try profile.around(name(), on: stream, queue)
  }

  /// Queues a kernel. One that `overlaps` may begin while the one before it ends (programmatic
  /// dependent launch); kernels wait by themselves before they touch memory.
  func launch(
    _ kernel: Kernel, grid: Grid, block: Int, sharedBytes: Int, overlaps: Bool,
    _ arguments: [KernelArgument]
  ) throws {
    guard grid.x > 0, grid.y > 0, grid.z > 0 else { return }
    var attribute = matvlm_cuda_launch_attribute()
    attribute.id = 6  // CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION
    attribute.value.flag = 1
    try withUnsafeMutablePointer(to: &attribute) { attribute in
      var configuration = matvlm_cuda_launch_configuration(
        grid_x: UInt32(grid.x), grid_y: UInt32(grid.y), grid_z: UInt32(grid.z),
        block_x: UInt32(block), block_y: 1, block_z: 1, shared_bytes: UInt32(sharedBytes),
        stream: stream, attributes: attribute,
        attribute_count: overlaps && architecture >= 90 ? 1 : 0)
      try KernelArgument.withAddresses(of: arguments) { addresses in
        try watched(kernel.name) {
          try driver.check(
            driver.launchKernel(&configuration, kernel.function, addresses, nil),
            "cuLaunchKernelEx(\(kernel.name), \(grid), \(block), \(sharedBytes))")
        }
      }
    }
  }
}

/// How many blocks a kernel has.
struct Grid: Hashable, CustomStringConvertible {
  var x: Int
  var y = 1
  var z = 1

  init(_ x: Int, _ y: Int = 1, _ z: Int = 1) { (self.x, self.y, self.z) = (x, y, z) }

  var description: String { "\(x)x\(y)x\(z)" }
}
