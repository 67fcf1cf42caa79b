/// Walks nodes from the newest to the oldest. Creation order is a topological order, so no recursion is
/// needed; saved activations are freed as the sweep passes.
struct ReverseSweep {
  private var pending: [Int: (node: Node, gradients: [Tensor?])] = [:]
  private var newest = MaximumHeap()
  /// Gradients of leaves, as far as the sweep has come.
  private var leaves: [Int: Tensor] = [:]

  init(_ seeded: [(value: Tensor, seed: Tensor)]) {
    for (value, seed) in seeded {
      require(value.shape == seed.shape, "gradients: \(value.shape) seeded with \(seed.shape)")
      if let history = value.history { accumulate(seed, history) }
    }
  }

  private mutating func accumulate(_ gradient: Tensor, _ history: History) {
    func added(to sum: Tensor?) -> Tensor { sum.map { $0.backend.add($0, gradient) } ?? gradient }
    let id = history.node.id
    if history.node.isLeaf {
      leaves[id] = added(to: leaves[id])
      return
    }
    if pending[id] == nil {
      pending[id] = (history.node, Array(repeating: nil, count: history.node.outputs))
      newest.insert(id)
    }
    pending[id]!.gradients[history.output] = added(to: pending[id]!.gradients[history.output])
  }

  /// - Parameter finished: is given each leaf that has a gradient, once, when nothing will be added to
  ///   it any more; the order follows from the order in which operations were recorded.
  mutating func run(finished: (_ leaf: Int, _ gradient: Tensor) -> Void) {
    let lastAdditions = leavesByOldestUse()
    while let id = newest.removeMaximum(), let (node, gradients) = pending.removeValue(forKey: id) {
      for (input, gradient) in zip(node.inputs, node.consume(gradients)) {
        if let input, let gradient { accumulate(gradient, input) }
      }
      for leaf in lastAdditions[id] ?? [] {
        if let gradient = leaves.removeValue(forKey: leaf) { finished(leaf, gradient) }
      }
    }
    // A leaf that is itself seeded, or whose oldest use has no gradient.
    for (leaf, gradient) in leaves.sorted(by: { $0.key < $1.key }) { finished(leaf, gradient) }
  }

  /// Leaves by the oldest of the nodes that use them, which is the last one to add to their gradients.
  private func leavesByOldestUse() -> [Int: [Int]] {
    var oldest: [Int: Int] = [:]
    var seen = Set(pending.keys)
    var unvisited = pending.values.map(\.node)
    while let node = unvisited.popLast() {
      for input in node.inputs.lazy.compactMap({ $0?.node }) {
        if input.isLeaf {
          oldest[input.id] = min(oldest[input.id] ?? .max, node.id)
        } else if seen.insert(input.id).inserted {
          unvisited.append(input)
        }
      }
    }
    return Dictionary(grouping: oldest.keys.sorted()) { oldest[$0]! }
  }
}

/// A binary heap of node ids.
private struct MaximumHeap {
  private var items: [Int] = []

  mutating func insert(_ item: Int) {
    items.append(item)
    var child = items.count - 1
    while child > 0, items[(child - 1) / 2] < items[child] {
      items.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func removeMaximum() -> Int? {
    guard let top = items.first else { return nil }
    let last = items.removeLast()
    if items.isEmpty { return top }
    items[0] = last
    var parent = 0
    while true {
      var child = 2 * parent + 1
      guard child < items.count else { return top }
      if child + 1 < items.count, items[child + 1] > items[child] { child += 1 }
      guard items[child] > items[parent] else { return top }
      items.swapAt(child, parent)
      parent = child
    }
  }
}
