/// Something with parameters. Layers are structs that hold references to parameters, so a copy of a
/// layer shares them.
public protocol Layer: Sendable {
  /// Every parameter, in the order of the checkpoint.
  var parameters: [Parameter] { get }
}

extension Layer {
  /// The number of learned numbers.
  public var parameterCount: Int { parameters.reduce(0) { $0 + $1.shape.count } }
}
