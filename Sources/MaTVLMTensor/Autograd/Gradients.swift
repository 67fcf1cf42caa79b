/// The gradient of one number with respect to every trainable parameter it depends on.
public struct Gradients: Sendable {
  private var values: [Int: Tensor] = [:]  // leaf node → gradient

  public init() {}

  init(_ values: [Int: Tensor]) { self.values = values }

  /// The gradient of `parameter`, of its shape and float32; nil when the number does not depend
  /// on it.
  public subscript(_ parameter: Parameter) -> Tensor? { parameter.leaf.flatMap { self[$0] } }

  subscript(_ leaf: Node) -> Tensor? { values[leaf.id] }

  /// Adds up over all ranks; where a rank has no gradient it gives zeros.
  /// - Parameter parameters: those that have a gradient on any rank, the same on all.
  package mutating func add(over ranks: any Communicator, _ parameters: [Parameter]) {
    guard ranks.size > 1, !parameters.isEmpty else { return }
    let own = parameters.map { self[$0] ?? .zeros($0.shape, on: $0.value.device) }
    for (parameter, sum) in zip(parameters, ranks.sum(own)) {
      if let leaf = parameter.leaf { values[leaf.id] = sum }
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
        let sum = remove(leaf, adding: gradient)
        if let exchange { exchange.take(sum, of: leaf) } else { values[leaf] = sum }
      }
    }
  }

  /// The gradient of a leaf, which is no longer among these, and another one.
  mutating func remove(_ leaf: Int, adding gradient: Tensor) -> Tensor {
    values.removeValue(forKey: leaf).map { $0.backend.add($0, gradient) } ?? gradient
  }

  public static func += (a: inout Gradients, b: Gradients) {
    a.values.merge(b.values) { $0.backend.add($0, $1) }
  }

  /// Multiplies the gradient of `parameter`, if it has one, element by element.
  /// - Parameter mask: of its shape, float32.
  package mutating func multiply(_ parameter: Parameter, by mask: Tensor) {
    guard let leaf = parameter.leaf, let gradient = values[leaf.id] else { return }
    values[leaf.id] = gradient.backend.multiply(gradient, mask)
  }

  /// Multiplies every gradient by `factor`.
  public mutating func scale(by factor: Float) {
    values = values.mapValues { $0.backend.scale($0, by: factor) }
  }

  /// The Euclidean norm of all gradients taken together, added up in double precision.
  public func norm() -> Float {
    guard let backend = values.values.first?.backend else { return 0 }
    // Node ids grow with creation, so the order, and with it the rounding, is always the same.
    let ordered = values.sorted { $0.key < $1.key }.map(\.value)
    return backend.sumOfSquares(ordered).item().squareRoot()
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
