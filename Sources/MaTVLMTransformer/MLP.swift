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

  /// x [T, D] → [T, D]
  public func callAsFunction(_ x: Tensor) -> Tensor { fc2(activate(fc1(x), activation)) }

  public var parameters: [Parameter] { fc1.parameters + fc2.parameters }
}
