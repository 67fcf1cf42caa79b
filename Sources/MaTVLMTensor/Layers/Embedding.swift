/// A row of learned numbers for each token or position.
public struct Embedding: Layer {
  /// [R, D]
  public let weight: Parameter

  /// Reads `weight` [rows, width].
  /// - Throws: when the tensor is missing or has another shape.
  public init(_ source: ParameterSource, rows: Int, width: Int) throws {
    weight = try source.matrix("weight", [rows, width], .normal(deviation: 0.02))
  }

  /// rows int32 [T], each in 0..<R → [T, D]
  public func callAsFunction(_ rows: Tensor) -> Tensor { gatherRows(weight.value, rows) }

  public var parameters: [Parameter] { [weight] }
}
