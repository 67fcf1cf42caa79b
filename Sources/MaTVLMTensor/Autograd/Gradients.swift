/// The gradient of one number with respect to every trainable parameter it depends on.
public struct Gradients: Sendable {
  /// By the id of the leaf node, which grows with creation. In order, so that sums and norms are made,
  /// and memory is given back, the same way each time: a dictionary's order is another one each time.
  private var values: [(leaf: Int, gradient: Tensor)] = []

  public init() {}

  init(_ values: [Int: Tensor]) {
    self.values = values.sorted { $0.key < $1.key }.map { (leaf: $0.key, gradient: $0.value) }
  }

  /// The gradient of `parameter`, of its shape and float32; nil when the number does not depend
  /// on it.
  public subscript(_ parameter: Parameter) -> Tensor? { parameter.leaf.flatMap { self[$0] } }

  subscript(_ leaf: Node) -> Tensor? { place(of: leaf.id).map { values[$0].gradient } }

  /// Adds up over all ranks; where a rank has no gradient it gives zeros.
  /// - Parameter parameters: those that have a gradient on any rank, the same on all.
  package mutating func add(over ranks: any Communicator, _ parameters: [Parameter]) {
    guard ranks.size > 1, !parameters.isEmpty else { return }
    let own = parameters.map { self[$0] ?? .zeros($0.shape, on: $0.value.device) }
    for (parameter, sum) in zip(parameters, ranks.sum(own)) {
      if let leaf = parameter.leaf { set(leaf.id) { _ in sum } }
    }
  }

  /// Adds the gradient of a one-element `loss`.
  ///
  /// - Parameter exchange: takes each sum out of these gradients as soon as the sweep can add nothing to
  ///   it any more.
  /// - Precondition: `loss` has one element, and no gradient was taken through it before.
  package mutating func add(of loss: Tensor, handingTo exchange: GradientExchange? = nil) {
    require(loss.shape.count == 1, "gradients: the loss is \(loss.shape), not one element")
    add(of: [(loss, loss.device.ones(loss.shape, loss.dtype))], handingTo: exchange)
  }

  fileprivate mutating func add(
    of seeded: [(value: Tensor, seed: Tensor)], handingTo exchange: GradientExchange? = nil
  ) {
    var sweep = ReverseSweep(seeded)
    withoutGradients {
      sweep.run { leaf, gradient in
        guard let exchange else { return add(gradient, leaf) }
        exchange.take(remove(leaf, adding: gradient), of: leaf)
      }
    }
  }

  /// The gradient of a leaf, which is no longer among these, and another one.
  mutating func remove(_ leaf: Int, adding gradient: Tensor) -> Tensor {
    guard let place = place(of: leaf) else { return gradient }
    let own = values.remove(at: place).gradient
    return own.backend.add(own, gradient)
  }

  private mutating func add(_ gradient: Tensor, _ leaf: Int) {
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
  var result = Gradients()
  result.add(of: loss)
  return result
}

/// The gradient of Σ ⟨seed, value⟩, in one sweep over everything the values depend on.
package func gradients(of seeded: [(value: Tensor, seed: Tensor)]) -> Gradients {
  var result = Gradients()
  result.add(of: seeded)
  return result
}

extension Device {
  func ones(_ shape: Shape, _ dtype: DType) -> Tensor {
    let ones = Tensor(Array(repeating: 1, count: shape.count), shape, on: self)
    return dtype == .float32 ? ones : backend.convert(ones, to: dtype)
  }
}
