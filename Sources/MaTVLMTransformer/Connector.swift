import MaTVLMTensor

/// The MLP that turns vision features into rows of the decoder: TinyLLaVA's `mlpNx_gelu`, N linear
/// layers with the exact GELU between them.
public struct Connector: Layer {
  private let layers: [Linear]

  /// Reads the layers `0`, `2`, … 2(depth − 1), numbered as the authors' sequence with its
  /// activations.
  /// - Throws: when a tensor is missing or has another shape.
  public init(_ source: ParameterSource, inputs: Int, outputs: Int, depth: Int) throws {
    layers = try (0..<depth).map {
      try Linear(source[2 * $0], inputs: $0 == 0 ? inputs : outputs, outputs: outputs)
    }
  }

  private init(layers: [Linear]) { self.layers = layers }

  /// How many layers `connector_type` names.
  /// - Throws: ``ConfigurationError`` when it names another kind of connector.
  public static func depth(_ model: ConfigurationObject) throws -> Int {
    let name = try model.string("connector_type")
    if let match = name.wholeMatch(of: /mlp(\d{1,2})x_gelu/), let depth = Int(match.1), depth > 0 {
      return depth
    }
    throw model.wrong("connector_type", expected: "mlpNx_gelu, N from 1 to 99")
  }

  /// x [T, vision width] → [T, D]
  public func callAsFunction(_ x: Tensor) -> Tensor {
    layers.dropFirst().reduce(layers[0](x)) { $1(activate($0, .gelu)) }
  }

  /// A connector of the same values that shares nothing with this one: a student's trains, its
  /// teacher's does not.
  public func copy() -> Connector { Connector(layers: layers.map { $0.copy() }) }

  public var parameters: [Parameter] { layers.flatMap(\.parameters) }
}
