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

  /// The results of several layers for the same rows: x [T, I] → [T, Oᵢ] for each. Without gradients
  /// they are one product.
  public static func all(_ layers: [Linear], _ x: Tensor) -> [Tensor] {
    let weights = layers.map { (weight: $0.weight.value, bias: $0.bias?.value) }
    let tensors = [x] + weights.flatMap { [$0.weight, $0.bias].compactMap { $0 } }
    guard tensors.allSatisfy({ $0.history == nil }) else { return layers.map { $0(x) } }
    return x.backend.linears(x, weights)
  }

  public var parameters: [Parameter] { [weight] + (bias.map { [$0] } ?? []) }

  /// A layer of the same values that shares nothing with this one.
  public func copy() -> Linear { Linear(weight: weight.copy(), bias: bias?.copy()) }
}
