/// Layer normalisation with scale and shift.
public struct LayerNorm: Layer {
  /// [D]
  public let weight: Parameter
  /// [D]
  public let bias: Parameter
  public let epsilon: Float

  /// Reads `weight` and `bias` [width].
  /// - Throws: when a tensor is missing or has another shape.
  public init(_ source: ParameterSource, width: Int, epsilon: Float) throws {
    weight = try source.vector("weight", width, .ones)
    bias = try source.vector("bias", width, .zeros)
    self.epsilon = epsilon
  }

  /// x [T, D] → [T, D]
  public func callAsFunction(_ x: Tensor) -> Tensor {
    layerNorm(x, weight.value, bias.value, epsilon: epsilon)
  }

  public var parameters: [Parameter] { [weight, bias] }
}
