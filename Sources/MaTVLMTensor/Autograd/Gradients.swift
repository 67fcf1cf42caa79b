/// The gradient of one number with respect to every trainable parameter it depends on.
public struct Gradients: Sendable {
  /// By the id of the leaf node, which grows with creation. In order, so that sums and norms are made,
  /// and memory is given back, the same way each time: a dictionary's order is another one each time.
  private var values: [(leaf: Int, gradient: Tensor)] = []

  public init() {}

  /// The gradient of `parameter`, of its shape and float32; nil when the number does not depend
  /// on it.
  public subscript(_ parameter: Parameter) -> Tensor? { parameter.leaf.flatMap { self[$0] } }

  subscript(_ leaf: Node) -> Tensor? { place(of: leaf.id).map { values[$0].gradient } }

  /// Adds up over all ranks; where a rank has no gradient it gives zeros.
  /// - Parameter parameters: those that have a gradient on any rank, the same on all.
  package mutating func add(over ranks: any Communicator, _ parameters: [Parameter]) {
    guard ranks.size > 1 else { return }
    let own = parameters.map { self[$0] ?? .zeros($0.shape, on: $0.value.device) }
    for (parameter, sum) in zip(parameters, ranks.sum(own)) {
      if let leaf = parameter.leaf { set(leaf.id) { _ in sum } }
    }
  }

  fileprivate mutating func add(_ gradient: Tensor, _ leaf: Int) {
    set(leaf) { $0.map { $0.backend.add($0, gradient) } ?? gradient }
  }

  public static func += (a: inout Gradients, b: Gradients) {
    for (leaf, gradient) in b.values { a.add(gradient, leaf) }
  }

  /// Multiplies the gradient of `parameter`, if it has one, element by element.
  /// - Parameter mask: of its shape, float32.
  package mutating func multiply(_ parameter: Parameter, by mask: Tensor) {
    guard let place = parameter.leaf.flatMap({ place(of: $0.id) }) else { return }
    values[place].gradient = mask.backend.multiply(values[place].gradient, mask)
  }

  /// Multiplies every gradient by `factor`.
  public mutating func scale(by factor: Float) {
    for place in values.indices {
      let gradient = values[place].gradient
      values[place].gradient = gradient.backend.scale(gradient, by: factor)
    }
  }

  /// The Euclidean norm of all gradients taken together, added up in double precision.
  public func norm() -> Float {
    guard let backend = values.first?.gradient.backend else { return 0 }
    return backend.sumOfSquares(values.map(\.gradient)).item().squareRoot()
  }

  private func place(of leaf: Int) -> Int? {
    let place = firstPlace(notBefore: leaf)
    return place < values.count && values[place].leaf == leaf ? place : nil
  }

  private func firstPlace(notBefore leaf: Int) -> Int {
    var (low, high) = (0, values.count)
    while low < high {
      let middle = (low + high) / 2
      if values[middle].leaf < leaf { low = middle + 1 } else { high = middle }
    }
    return low
  }

  private mutating func set(_ leaf: Int, _ change: (Tensor?) -> Tensor) {
    let place = firstPlace(notBefore: leaf)
    if place < values.count, values[place].leaf == leaf {
      values[place].gradient = change(values[place].gradient)
    } else {
      values.insert((leaf, change(nil)), at: place)
    }
  }
}

/// The gradient of a one-element `loss` with respect to every trainable parameter.
/// - Precondition: `loss` has one element, and no gradient was taken through it before.
public func gradients(of loss: Tensor) -> Gradients {
  require(loss.shape.count == 1, "gradients: the loss is \(loss.shape), not one element")
  return gradients(of: [(loss, loss.device.ones(loss.shape, loss.dtype))])
}

/// The gradient of Σ ⟨seed, value⟩, in one sweep over everything the values depend on.
package func gradients(of seeded: [(value: Tensor, seed: Tensor)]) -> Gradients {
  var sweep = ReverseSweep()
  for (value, seed) in seeded {
    require(value.shape == seed.shape, "gradients: \(value.shape) seeded with \(seed.shape)")
    if let history = value.history { sweep.accumulate(seed, history) }
  }
  return withoutGradients { sweep.run() }
}

/// Walks nodes from the newest to the oldest. Creation order is a topological order, so neither a
/// recursion nor a set of visited nodes is needed; saved activations are freed as the sweep passes.
private struct ReverseSweep {
  private var pending: [Int: (node: Node, gradients: [Tensor?])] = [:]
  private var newest = MaximumHeap()

  mutating func accumulate(_ gradient: Tensor, _ history: History) {
    let id = history.node.id
    if pending[id] == nil {
      pending[id] = (history.node, Array(repeating: nil, count: history.node.outputs))
      newest.insert(id)
    }
    let sum = pending[id]!.gradients[history.output].map { $0.backend.add($0, gradient) }
    pending[id]!.gradients[history.output] = sum ?? gradient
  }

  mutating func run() -> Gradients {
    var result = Gradients()
    while let id = newest.removeMaximum(), let (node, gradients) = pending.removeValue(forKey: id) {
      if node.inputs.isEmpty {  // a parameter keeps its gradient
        result.add(gradients[0]!, node.id)
        continue
      }
      for (input, gradient) in zip(node.inputs, node.consume(gradients)) {
        if let input, let gradient { accumulate(gradient, input) }
      }
    }
    return result
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

extension Device {
  func ones(_ shape: Shape, _ dtype: DType) -> Tensor {
    let ones = Tensor(Array(repeating: 1, count: shape.count), shape, on: self)
    return dtype == .float32 ? ones : backend.convert(ones, to: dtype)
  }
}
