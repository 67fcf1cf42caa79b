import MaTVLMTensor

/// Sums that NCCL forms, bucket by bucket, while the card computes what comes next.
///
/// What NCCL reads and writes is kept until the card's own stream waits for it. Memory that is given back
/// after that goes to work that is queued behind the wait, so the allocator needs to know nothing of it.
final class CardSum: PendingSum {
  /// Bytes from which a sum is worth its messages; with larger ones the last would begin late.
  static let bucket = 32 << 20

  private let ranks: CardCommunicator
  private var tensors: [Tensor] = []
  private var sums: [Tensor] = []
  /// How many of them NCCL has been given.
  private var queued = 0
  /// Bytes that it has not been given.
  private var rest = 0

  init(over ranks: CardCommunicator) { self.ranks = ranks }

  func add(_ tensor: Tensor) {
    require(
      tensor.dtype == .float32 && tensor.backend === ranks.backend,
      "CardCommunicator: \(tensor.dtype) \(tensor.shape) on \(tensor.device)")
    tensors.append(tensor)
    sums.append(ranks.backend.empty(tensor.shape, .float32))
    rest += 4 * tensor.shape.count
    if rest >= Self.bucket { queue() }
  }

  func finish() -> [Tensor] {
    if rest > 0 { queue() }
    ranks.awaitQueued()
    defer { (tensors, sums, queued) = ([], [], 0) }
    return sums
  }

  private func queue() {
    let pairs = zip(tensors, sums).dropFirst(queued).filter { $0.0.shape.count > 0 }
    ranks.queue(pairs.map { (from: $0.address, to: $1.address, count: $0.shape.count) })
    (queued, rest) = (tensors.count, 0)
  }

  /// A sum that nobody asked for, as when the run failed meanwhile.
  deinit {
    if queued > 0 { ranks.awaitQueued() }
  }
}
