import CMaTVLMCUDASources
import MaTVLMTensor

/// Processes with a card each: gradients go from card to card over NCCL, everything else over another
/// communicator.
public final class CardCommunicator: Communicator, @unchecked Sendable {  // all parts are set once
  private let ranks: any Communicator
  private let backend: CUDABackend
  private let library: CollectiveLibrary
  private let handle: UnsafeMutableRawPointer

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
    let sums = tensors.map { backend.empty($0.shape, .float32) }
    let arrays = zip(tensors, sums).map { tensor, sum in
      require(
        tensor.dtype == .float32 && tensor.backend === backend,
        "CardCommunicator: \(tensor.dtype) \(tensor.shape) on \(tensor.device)")
      return (from: tensor.address, to: sum.address, count: tensor.shape.count)
    }
    backend.attempt {
      try library.sum(arrays.filter { $0.count > 0 }, among: handle, on: backend.device.stream)
    }
    return sums
  }
}
