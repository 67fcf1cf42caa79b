/// y = x Wᵀ + b
public struct Linear: Layer {
  /// [O, I]
  public let weight: Parameter
  /// [O]
  public let bias: Parameter?

  public init(weight: Parameter, bias: Parameter?) {
    (self.weight, self.bias) = (weight, bias)
  }

  /// Reads `weight` [outputs, inputs] and, with `bias`, `bias` [outputs].
  /// - Throws: when a tensor is missing or has another shape.
  public init(_ source: ParameterSource, inputs: Int, outputs: Int, bias: Bool = true) throws {
    // Hugging Face starts every projection of Phi at N(0, 0.02).
    weight = try source.matrix("weight", [outputs, inputs], .normal(deviation: 0.02))
    self.bias = bias ? try source.vector("bias", outputs, .zeros) : nil
  }

  /// x [T, I] → [T, O]
  public func callAsFunction(_ x: Tensor) -> Tensor {
    linear(x, weight.value, bias: bias?.value)
  }

  /// The layer as an operation on several takes it.
  public var projection: Projection { Projection(weight: weight.value, bias: bias?.value) }

  public var parameters: [Parameter] { [weight] + (bias.map { [$0] } ?? []) }

  /// A layer of the same values that shares nothing with this one.
  public func copy() -> Linear { Linear(weight: weight.copy(), bias: bias?.copy()) }
}
