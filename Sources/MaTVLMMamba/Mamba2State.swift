import MaTVLMTensor

/// What one sequence leaves behind in one mixer: the same size however long it was. Both parts are
/// float32 and written in place; copying the struct shares them, ``copy()`` does not.
public struct Mamba2State: Sendable {
  /// The last K − 1 rows of x | B | C before the convolution: [K − 1, 2 · shared + inner].
  package let tail: Tensor
  /// The scan's state: [H, P, N].
  package let state: Tensor

  /// The state before the first row.
  public init(_ configuration: Mamba2Configuration, on device: Device) {
    tail = .zeros([configuration.taps - 1, configuration.convolutionWidth], on: device)
    state = .zeros(
      [configuration.heads, configuration.stateWidth, configuration.stateWidth], on: device)
  }

  /// A state that was kept elsewhere: `tail` [K − 1, 2 · shared + inner], `state` [H, P, N].
  package init(tail: Tensor, state: Tensor) { (self.tail, self.state) = (tail, state) }

  /// Bytes of device memory held.
  public var byteCount: Int { 4 * (tail.shape.count + state.shape.count) }

  /// A state of the same values that shares nothing with this one.
  public func copy() -> Mamba2State {
    Mamba2State(
      tail: tail.backend.convert(tail, to: .float32),
      state: state.backend.convert(state, to: .float32))
  }
}
