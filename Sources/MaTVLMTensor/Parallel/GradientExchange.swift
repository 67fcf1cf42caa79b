/// Adds gradients up over all ranks while the backward pass that they come from goes on.
///
/// Every rank makes one for the last pass of an update, and each is given the same gradients in the same
/// order. What it is given belongs to it until ``finish()``.
package final class GradientExchange {
  private let sum: any PendingSum
  private var leaves: [Int] = []
  /// Of this rank's earlier passes: what the pass has not added to yet, or never will.
  package private(set) var earlier: Gradients

  /// - Parameter earlier: gradients of this rank that are added to those to come; they are moved here.
  package init(over ranks: any Communicator, adding earlier: inout Gradients) {
    sum = ranks.beginSum()
    self.earlier = earlier
    earlier = Gradients()
  }

  package convenience init(over ranks: any Communicator) {
    var none = Gradients()
    self.init(over: ranks, adding: &none)
  }

  /// Takes a gradient to which the pass adds nothing any more.
  func take(_ gradient: Tensor, of leaf: Int) {
    leaves.append(leaf)
    sum.add(earlier.remove(leaf, adding: gradient))
  }

  /// What was taken, in the order in which it came: places in `parameters`, −1 for any other. The same on
  /// all ranks, or what they add up is not the same.
  package func order(among parameters: [Parameter]) -> [Int] {
    let places = parameters.enumerated().compactMap { place, parameter in
      parameter.leaf.map { ($0.id, place) }
    }
    let byLeaf = Dictionary(uniqueKeysWithValues: places)
    return leaves.map { byLeaf[$0] ?? -1 }
  }

  /// The sums over all ranks of what was taken. Called once, at the end.
  package func finish() -> Gradients {
    Gradients(Dictionary(uniqueKeysWithValues: zip(leaves, sum.finish())))
  }
}
