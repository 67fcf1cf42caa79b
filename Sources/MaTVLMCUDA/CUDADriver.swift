import CMaTVLMCUDASources

/// CUDA's driver interface, the few functions that are used (CUDA Driver API reference, version 12
/// and 13). Each method throws ``CUDAError/callFailed(call:code:meaning:)`` with the function's
/// name.
struct CUDADriver: Sendable {
  typealias Status = Int32
  typealias Handle = UnsafeMutableRawPointer
  typealias HandleOut = UnsafeMutablePointer<Handle?>
  typealias Address = UInt64

  typealias Initialize = @convention(c) (UInt32) -> Status
  typealias IntOut = @convention(c) (UnsafeMutablePointer<Int32>) -> Status
  typealias DeviceGet = @convention(c) (UnsafeMutablePointer<Int32>, Int32) -> Status
  typealias DeviceName = @convention(c) (UnsafeMutablePointer<CChar>, Int32, Int32) -> Status
  typealias DeviceAttribute = @convention(c) (UnsafeMutablePointer<Int32>, Int32, Int32) -> Status
  typealias RetainContext = @convention(c) (HandleOut, Int32) -> Status
  typealias OneHandle = @convention(c) (Handle?) -> Status
  typealias Allocate = @convention(c) (UnsafeMutablePointer<Address>, Int) -> Status
  typealias Free = @convention(c) (Address) -> Status
  typealias MemoryInfo =
    @convention(c) (UnsafeMutablePointer<Int>, UnsafeMutablePointer<Int>) -> Status
  typealias CopyIn = @convention(c) (Address, UnsafeRawPointer, Int, Handle?) -> Status
  typealias CopyOut = @convention(c) (UnsafeMutableRawPointer, Address, Int, Handle?) -> Status
  typealias CopyWithin = @convention(c) (Address, Address, Int, Handle?) -> Status
  typealias Fill = @convention(c) (Address, UInt8, Int, Handle?) -> Status
  typealias CreateWithFlags = @convention(c) (HandleOut, UInt32) -> Status
  typealias LoadModule = @convention(c) (HandleOut, UnsafeRawPointer) -> Status
  typealias GetFunction = @convention(c) (HandleOut, Handle?, UnsafePointer<CChar>) -> Status
  typealias SetFunctionAttribute = @convention(c) (Handle?, Int32, Int32) -> Status
  typealias Launch =
    @convention(c) (
      UnsafePointer<matvlm_cuda_launch_configuration>, Handle?,
      UnsafeMutablePointer<UnsafeMutableRawPointer?>?, UnsafeMutableRawPointer?
    ) -> Status
  typealias EncodeTensorMap =
    @convention(c) (
      UnsafeMutableRawPointer, Int32, UInt32, Address, UnsafePointer<UInt64>,
      UnsafePointer<UInt64>, UnsafePointer<UInt32>, UnsafePointer<UInt32>, Int32, Int32, Int32,
      Int32
    ) -> Status
  typealias TwoHandles = @convention(c) (Handle?, Handle?) -> Status
  typealias WaitForEvent = @convention(c) (Handle?, Handle?, UInt32) -> Status
  typealias ElapsedTime = @convention(c) (UnsafeMutablePointer<Float>, Handle?, Handle?) -> Status
  typealias BeginCapture = @convention(c) (Handle?, Int32) -> Status
  typealias EndCapture = @convention(c) (Handle?, HandleOut) -> Status
  typealias InstantiateGraph = @convention(c) (HandleOut, Handle?, UInt64) -> Status
  typealias ErrorText =
    @convention(c) (Status, UnsafeMutablePointer<UnsafePointer<CChar>?>) -> Status

  let path: String
  /// The newest CUDA that the driver runs.
  let version: CUDAVersion
  let initialize: Initialize
  let driverVersion: IntOut
  let deviceCount: IntOut
  let deviceGet: DeviceGet
  let deviceName: DeviceName
  let deviceAttribute: DeviceAttribute
  let retainPrimaryContext: RetainContext
  let setCurrentContext: OneHandle
  let allocateMemory: Allocate
  let freeMemory: Free
  let memoryInfo: MemoryInfo
  let copyIn: CopyIn
  let copyOut: CopyOut
  let copyWithin: CopyWithin
  let fill: Fill
  let createStream: CreateWithFlags
  let synchronizeStream: OneHandle
  let loadModule: LoadModule
  let getFunction: GetFunction
  let setFunctionAttribute: SetFunctionAttribute
  let launchKernel: Launch
  let encodeTensorMap: EncodeTensorMap
  let createEvent: CreateWithFlags
  let recordEvent: TwoHandles
  let waitForEvent: WaitForEvent
  let synchronizeEvent: OneHandle
  let elapsedTime: ElapsedTime
  let destroyEvent: OneHandle
  let beginCapture: BeginCapture
  let endCapture: EndCapture
  let instantiateGraph: InstantiateGraph
  let launchGraph: TwoHandles
  let destroyGraph: OneHandle
  let destroyExecutableGraph: OneHandle
  private let errorName: ErrorText
  private let errorString: ErrorText

  /// Opens the driver's library and looks every function up.
  /// - Throws: ``CUDAError`` when the library or a function is missing.
  init(_ search: CUDASearchPath) throws {
    let library = try DynamicLibrary(
      ["libcuda.so.1", "libcuda.so"], in: search.folders,
      hint: "It comes with the NVIDIA driver; is there a card, and is its driver installed?")
    path = library.path
    driverVersion = try library.function("cuDriverGetVersion")
    version = try Self.version(driverVersion, of: path)
    initialize = try library.function("cuInit")
    deviceCount = try library.function("cuDeviceGetCount")
    deviceGet = try library.function("cuDeviceGet")
    deviceName = try library.function("cuDeviceGetName")
    deviceAttribute = try library.function("cuDeviceGetAttribute")
    retainPrimaryContext = try library.function("cuDevicePrimaryCtxRetain")
    setCurrentContext = try library.function("cuCtxSetCurrent")
    allocateMemory = try library.function("cuMemAlloc_v2")
    freeMemory = try library.function("cuMemFree_v2")
    memoryInfo = try library.function("cuMemGetInfo_v2")
    copyIn = try library.function("cuMemcpyHtoDAsync_v2")
    copyOut = try library.function("cuMemcpyDtoHAsync_v2")
    copyWithin = try library.function("cuMemcpyDtoDAsync_v2")
    fill = try library.function("cuMemsetD8Async")
    createStream = try library.function("cuStreamCreate")
    synchronizeStream = try library.function("cuStreamSynchronize")
    loadModule = try library.function("cuModuleLoadData")
    getFunction = try library.function("cuModuleGetFunction")
    setFunctionAttribute = try library.function("cuFuncSetAttribute")
    launchKernel = try library.function("cuLaunchKernelEx")
    encodeTensorMap = try library.function("cuTensorMapEncodeTiled")
    createEvent = try library.function("cuEventCreate")
    recordEvent = try library.function("cuEventRecord")
    waitForEvent = try library.function("cuStreamWaitEvent")
    synchronizeEvent = try library.function("cuEventSynchronize")
    elapsedTime = try library.function("cuEventElapsedTime")
    destroyEvent = try library.function("cuEventDestroy_v2")
    beginCapture = try library.function("cuStreamBeginCapture_v2")
    endCapture = try library.function("cuStreamEndCapture")
    instantiateGraph = try library.function("cuGraphInstantiateWithFlags")
    launchGraph = try library.function("cuGraphLaunch")
    destroyGraph = try library.function("cuGraphDestroy")
    destroyExecutableGraph = try library.function("cuGraphExecDestroy")
    errorName = try library.function("cuGetErrorName")
    errorString = try library.function("cuGetErrorString")
  }

  private static func version(_ ask: IntOut, of path: String) throws -> CUDAVersion {
    var number: Int32 = 0
    let status = ask(&number)
    guard status == 0 else {
      throw CUDAError.callFailed(
        call: "cuDriverGetVersion of \(path)", code: Int(status), meaning: "no version")
    }
    let version = CUDAVersion(driver: Int(number))
    // Older ones lack functions, and are to be told apart from a library that is something else.
    try version.require(CUDAVersion(major: 12, minor: 0), by: "this program", path)
    return version
  }

  /// - Throws: ``CUDAError/callFailed(call:code:meaning:)`` unless `status` is success.
  func check(_ status: Status, _ call: @autoclosure () -> String) throws {
    guard status != 0 else { return }
    throw CUDAError.callFailed(call: call(), code: Int(status), meaning: meaning(of: status))
  }

  /// A handle that a call makes.
  func handle(_ call: String, _ body: (HandleOut) -> Status) throws -> Handle {
    var handle: Handle?
    try check(body(&handle), call)
    guard let handle else {
      throw CUDAError.callFailed(call: call, code: 0, meaning: "it returned nothing")
    }
    return handle
  }

  private func meaning(of status: Status) -> String {
    [errorName, errorString].compactMap { text in
      var value: UnsafePointer<CChar>?
      return text(status, &value) == 0 ? value.map { String(cString: $0) } : nil
    }.joined(separator: ", ")
  }
}

/// A version of CUDA; a driver runs what a compiler of the same major version or an older one made.
struct CUDAVersion: CustomStringConvertible {
  let major: Int
  let minor: Int

  init(major: Int, minor: Int) { (self.major, self.minor) = (major, minor) }

  /// 13020 is 13.2.
  init(driver number: Int) { self.init(major: number / 1000, minor: number % 1000 / 10) }

  var description: String { "\(major).\(minor)" }

  /// - Throws: ``CUDAError/driverTooOld(path:found:needed:by:)`` when `needed` is of a later major
  ///   version than this one, which the driver at `path` has.
  func require(_ needed: CUDAVersion, by: String, _ path: String) throws {
    guard major >= needed.major else {
      throw CUDAError.driverTooOld(
        path: path, found: description, needed: "\(needed.major).0", by: by)
    }
  }
}
