import Synchronization

/// A learned tensor with the name it has in a checkpoint; frozen unless made trainable.
///
/// Layers hold references, so a layer that is copied shares its parameters, and frozen weights
/// exist once however many models use them.
public final class Parameter: Sendable {
  /// The whole key in a checkpoint, for example `connector._connector.0.weight`.
  public let name: String

  private struct State {
    var value: Tensor
    var leaf: Node?
  }

  private let state: Mutex<State>

  public init(_ name: String, _ value: Tensor) {
    self.name = name
    state = Mutex(State(value: value.detached))
  }

  public var shape: Shape { state.withLock { $0.value.shape } }

  /// The present value; operations on it are recorded while the parameter is trainable.
  public var value: Tensor {
    state.withLock { state in
      let value = state.value
      return state.leaf.map(value.asLeaf) ?? value
    }
  }

  /// Whether training changes this parameter. What trains is held in float32, in memory of its
  /// own: setting this copies a value that is stored otherwise or belongs to a mapped file.
  public var isTrainable: Bool {
    get { state.withLock { $0.leaf != nil } }
    set {
      state.withLock { state in
        guard newValue != (state.leaf != nil) else { return }
        state.leaf = newValue ? Node(leaf: "parameter") : nil
        if newValue, state.value.dtype != .float32 || state.value.storage.isBorrowed {
          state.value = state.value.backend.convert(state.value, to: .float32)
        }
      }
    }
  }

  /// A parameter of the same name and value that shares nothing with this one.
  public func copy() -> Parameter {
    let value = self.value.detached
    return Parameter(name, value.backend.convert(value, to: value.dtype))
  }

  /// Replaces the value, as when a checkpoint is read into an existing model.
  /// - Precondition: the shapes are equal.
  package func assign(_ value: Tensor) {
    state.withLock { state in
      require(
        state.value.shape == value.shape, "\(name): \(state.value.shape) assigned \(value.shape)")
      state.value = value.detached
    }
  }

  var leaf: Node? { state.withLock { $0.leaf } }
}
