import Synchronization

/// Which output of which recorded operation a tensor is.
package struct History: Sendable {
  package let node: Node
  package let output: Int
}

/// One recorded operation: where its inputs came from and how gradients flow back through it.
///
/// Ids grow with time, so the pending node with the largest id never waits for another one.
package final class Node: Sendable {
  /// Takes the gradient of each output (nil: it has none) and returns one for each input (nil: not
  /// needed).
  package typealias Pullback = @Sendable ([Tensor?]) -> [Tensor?]

  package let id: Int
  let operation: StaticString
  let inputs: [History?]
  let outputs: Int
  private let pullback: Mutex<Pullback?>
  private let savedActivation = Mutex<ActivatedRows?>(nil)

  private static let counter = Atomic<Int>(0)

  init(
    _ operation: StaticString, inputs: [History?], outputs: Int, pullback: @escaping Pullback
  ) {
    id = Self.counter.wrappingAdd(1, ordering: .relaxed).newValue
    self.operation = operation
    self.inputs = inputs
    self.outputs = outputs
    self.pullback = Mutex(pullback)
  }

  /// The node of a parameter: nothing flows further back.
  convenience init(leaf operation: StaticString) {
    self.init(operation, inputs: [], outputs: 1) { _ in [] }
  }

  var isLeaf: Bool { inputs.isEmpty }

  /// What was activated, if that is what the operation did and no gradient was taken through it yet.
  var activated: ActivatedRows? {
    get { savedActivation.withLock { $0 } }
    set { savedActivation.withLock { $0 = newValue } }
  }

  /// Runs the pullback and drops it, freeing what it saved.
  func consume(_ outputGradients: [Tensor?]) -> [Tensor?] {
    activated = nil
    let run = pullback.withLock { saved in
      defer { saved = nil }
      return saved
    }
    guard let run else {
      fatalError("\(operation): gradients were already taken through this value")
    }
    return run(outputGradients)
  }
}

/// Rows before an activation. A layer that reads the activated ones can take its gradient back through
/// both at once.
struct ActivatedRows: Sendable {
  let x: Tensor
  let activation: Activation
}

/// Whether operations on trainable values are recorded.
package enum Recording {
  @TaskLocal package static var isEnabled = true
}

/// Runs `body` without recording: for evaluating a model that has trainable parameters.
public func withoutGradients<R>(_ body: () throws -> R) rethrows -> R {
  try Recording.$isEnabled.withValue(false, operation: body)
}

func withGradients<R>(_ body: () throws -> R) rethrows -> R {
  try Recording.$isEnabled.withValue(true, operation: body)
}

extension Tensor {
  /// This value as a source of gradients, the way a trainable parameter is one.
  func asLeaf(_ leaf: Node) -> Tensor {
    Tensor(storage, shape, dtype, history: History(node: leaf, output: 0))
  }

  /// This value with its history: the operation that made it out of `inputs`.
  ///
  /// Nothing is recorded, and `pullback` is dropped at once, when no input has a history.
  package func recording(
    _ operation: StaticString, _ inputs: [Tensor?],
    pullback: @escaping @Sendable (_ dy: Tensor) -> [Tensor?]
  ) -> Tensor {
    recordingOutputs(operation, inputs, [self]) { pullback($0[0]!) }[0]
  }
}

/// Whether an operation on `inputs` is recorded.
package func isRecorded(_ inputs: [Tensor?]) -> Bool {
  Recording.isEnabled && inputs.contains { $0?.history != nil }
}

/// The values of one operation with several outputs, with their history.
package func recordingOutputs(
  _ operation: StaticString, _ inputs: [Tensor?], _ outputs: [Tensor],
  pullback: @escaping Node.Pullback
) -> [Tensor] {
  guard isRecorded(inputs) else { return outputs }
  let node = Node(
    operation, inputs: inputs.map { $0?.history }, outputs: outputs.count, pullback: pullback)
  return outputs.enumerated().map { index, value in
    Tensor(value.storage, value.shape, value.dtype, history: History(node: node, output: index))
  }
}
