import CMaTVLMCUDASources

/// NCCL: sums over the cards of several processes (NCCL user guide, version 2).
struct CollectiveLibrary: Sendable {
  typealias Status = Int32
  typealias Handle = UnsafeMutableRawPointer
  typealias Address = UnsafeRawPointer

  private let makeID: @convention(c) (UnsafeMutablePointer<matvlm_nccl_unique_id>) -> Status
  private let join:
    @convention(c) (UnsafeMutablePointer<Handle?>, Int32, matvlm_nccl_unique_id, Int32) -> Status
  private let beginGroup: @convention(c) () -> Status
  private let endGroup: @convention(c) () -> Status
  private let allReduce:
    @convention(c) (Address?, UnsafeMutableRawPointer?, Int, Int32, Int32, Handle?, Handle?) ->
      Status
  private let errorString: @convention(c) (Status) -> UnsafePointer<CChar>?

  /// - Throws: ``CUDAError`` when the library or a function is missing.
  init(_ search: CUDASearchPath) throws {
    let library = try DynamicLibrary(
      ["libnccl.so.2", "libnccl.so"], in: search.folders,
      hint: "Several cards need NVIDIA's NCCL (package libnccl2); name its folder as CUDA path.")
    makeID = try library.function("ncclGetUniqueId")
    join = try library.function("ncclCommInitRank")
    beginGroup = try library.function("ncclGroupStart")
    endGroup = try library.function("ncclGroupEnd")
    allReduce = try library.function("ncclAllReduce")
    errorString = try library.function("ncclGetErrorString")
  }

  /// What the processes that belong together find each other by.
  func uniqueID() throws -> matvlm_nccl_unique_id {
    var id = matvlm_nccl_unique_id()
    try check(makeID(&id), "ncclGetUniqueId")
    return id
  }

  /// Makes the calling thread's current card one of `size`; waits for the others.
  func join(_ id: matvlm_nccl_unique_id, rank: Int, of size: Int) throws -> Handle {
    var handle: Handle?
    try check(join(&handle, Int32(size), id, Int32(rank)), "ncclCommInitRank")
    guard let handle else {
      throw CUDAError.callFailed(call: "ncclCommInitRank", code: 0, meaning: "it returned nothing")
    }
    return handle
  }

  /// Queues sums of float32 numbers over all cards.
  func sum(
    _ arrays: [(from: UInt64, to: UInt64, count: Int)], among handle: Handle, on stream: Handle
  ) throws {
    let (float32, sum): (Int32, Int32) = (7, 0)  // ncclFloat32, ncclSum
    try check(beginGroup(), "ncclGroupStart")
    for array in arrays {
      try check(
        allReduce(
          UnsafeRawPointer(bitPattern: UInt(array.from)),
          UnsafeMutableRawPointer(bitPattern: UInt(array.to)), array.count, float32, sum, handle,
          stream), "ncclAllReduce(\(array.count))")
    }
    try check(endGroup(), "ncclGroupEnd")
  }

  private func check(_ status: Status, _ call: String) throws {
    guard status != 0 else { return }
    throw CUDAError.callFailed(
      call: call, code: Int(status),
      meaning: errorString(status).map { String(cString: $0) } ?? "unknown status")
  }
}
