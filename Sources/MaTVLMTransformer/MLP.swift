import MaTVLMTensor

/// fc2(activation(fc1(x))): the MLP of a Phi or SigLIP block.
public struct MLP: Layer {
  public let fc1: Linear
  public let fc2: Linear
  private let activation: Activation

  /// Reads `fc1` and `fc2`.
  /// - Throws: when a tensor is missing or has another shape.
  public init(
    _ source: ParameterSource, width: Int, intermediate: Int, activation: Activation
  ) throws {
    fc1 = try Linear(source["fc1"], inputs: width, outputs: intermediate)
    fc2 = try Linear(source["fc2"], inputs: intermediate, outputs: width)
    self.activation = activation
  }

  /// fc1 and the activation, as a product with other layers that read the same rows takes them.
  public var hiddenProjection: Projection {
    Projection(weight: fc1.weight.value, bias: fc1.bias?.value, activation: activation)
  }

  /// x [T, D] → [T, D]
  public func callAsFunction(_ x: Tensor) -> Tensor { fc2(linear(x, [hiddenProjection])[0]) }

  public var parameters: [Parameter] { fc1.parameters + fc2.parameters }
}
