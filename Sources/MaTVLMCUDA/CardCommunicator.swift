import CMaTVLMCUDASources
import MaTVLMTensor

/// Processes with a card each: gradients go from card to card over NCCL, on a stream of their own, and
/// everything else over another communicator.
public final class CardCommunicator: Communicator, @unchecked Sendable {  // all parts are set once
  private let ranks: any Communicator
  let backend: CUDABackend
  private let library: CollectiveLibrary
  private let handle: CUDADriver.Handle
  private let stream: CUDADriver.Handle
  private let event: CUDADriver.Handle

  /// Waits for the other processes.
  /// - Throws: ``CUDAError`` when NCCL is missing or cannot connect the cards.
  /// - Precondition: the device is an NVIDIA card, and no other process has the same.
  public init(_ ranks: any Communicator, on device: Device, cudaPath: String? = nil) throws {
    guard let backend = device.backend as? CUDABackend else {
      preconditionFailure("CardCommunicator: \(device) is no NVIDIA card")
    }
    (self.ranks, self.backend) = (ranks, backend)
    let library = try CollectiveLibrary(CUDASearchPath(cudaPath: cudaPath))
    let id = try ranks.broadcast(ranks.rank == 0 ? [library.uniqueID()] : [])[0]
    try backend.device.makeCurrent()
    handle = try library.join(id, rank: ranks.rank, of: ranks.size)
    self.library = library
    stream = try backend.device.makeStream()
    event = try backend.device.makeEvent()
  }

  public var rank: Int { ranks.rank }
  public var size: Int { ranks.size }
  public var localRank: Int { ranks.localRank }
  public var localSize: Int { ranks.localSize }

  public func allGather<Element: BitwiseCopyable>(_ values: [Element]) -> [[Element]] {
    ranks.allGather(values)
  }

  public func allToAll<Element: BitwiseCopyable>(_ parts: [[Element]]) -> [[Element]] {
    ranks.allToAll(parts)
  }

  public func sum(_ tensors: [Tensor]) -> [Tensor] {
    let sum = beginSum()
    for tensor in tensors { sum.add(tensor) }
    return sum.finish()
  }

  public func beginSum() -> any PendingSum { CardSum(over: self) }

  /// Queues sums that begin when everything is done that the card has been given so far; it goes on
  /// meanwhile.
  func queue(_ arrays: [(from: UInt64, to: UInt64, count: Int)]) {
    backend.attempt {
      try backend.device.order(stream, behind: backend.device.stream, by: event)
      try library.sum(arrays, among: handle, on: stream)
    }
  }

  /// Makes whatever the card is given from now on wait for the sums that are queued.
  func awaitQueued() {
    backend.attempt { try backend.device.order(backend.device.stream, behind: stream, by: event) }
  }
}
