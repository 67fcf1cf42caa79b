import MaTVLMTensor

/// Other ranks, and somebody who hears of each tensor that a pending sum is given, at once.
package final class RecordingRanks: Communicator {
  private let ranks: any Communicator
  private let hear: @Sendable (Tensor) -> Void

  package init(
    _ ranks: any Communicator = OneProcess(), hear: @escaping @Sendable (Tensor) -> Void
  ) {
    (self.ranks, self.hear) = (ranks, hear)
  }

  package var rank: Int { ranks.rank }
  package var size: Int { ranks.size }
  package var localRank: Int { ranks.localRank }
  package var localSize: Int { ranks.localSize }

  package func allGather<Element: BitwiseCopyable>(_ values: [Element]) -> [[Element]] {
    ranks.allGather(values)
  }

  package func allToAll<Element: BitwiseCopyable>(_ parts: [[Element]]) -> [[Element]] {
    ranks.allToAll(parts)
  }

  package func sum(_ tensors: [Tensor]) -> [Tensor] { ranks.sum(tensors) }

  package func beginSum() -> any PendingSum { Sum(ranks.beginSum(), hear) }

  private final class Sum: PendingSum {
    private let sum: any PendingSum
    private let hear: @Sendable (Tensor) -> Void

    init(_ sum: any PendingSum, _ hear: @escaping @Sendable (Tensor) -> Void) {
      (self.sum, self.hear) = (sum, hear)
    }

    func add(_ tensor: Tensor) {
      hear(tensor)
      sum.add(tensor)
    }

    func finish() -> [Tensor] { sum.finish() }
  }
}
