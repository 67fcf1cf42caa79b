/// A sum over ranks of tensors that come one after the other.
///
/// Every rank begins it at the same place among the calls of its ``Communicator``, and gives the same
/// shapes in the same order; in between it may compute whatever it likes.
public protocol PendingSum: AnyObject {
  /// Gives the next tensor, float32, which stays as it is.
  func add(_ tensor: Tensor)

  /// The sums, in the order in which tensors were given; called once, and waits for the others.
  func finish() -> [Tensor]
}

/// What a communicator does that has nothing to work with beside the computation: everything at the end.
final class SumAtTheEnd: PendingSum {
  private let ranks: any Communicator
  private var tensors: [Tensor] = []

  init(over ranks: any Communicator) { self.ranks = ranks }

  func add(_ tensor: Tensor) { tensors.append(tensor) }

  func finish() -> [Tensor] {
    defer { tensors = [] }
    return ranks.sum(tensors)
  }
}
