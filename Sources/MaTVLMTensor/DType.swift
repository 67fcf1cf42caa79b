/// What one element of a tensor is.
public enum DType: Sendable, Hashable {
  case float32, bfloat16, float16, int32
  /// A matrix of weights in a few bits: only `linear`, `gatherRows` and `convert` take it.
  case quantized(Quantization)

  /// The types whose elements lie one after the other.
  public static let elementTypes: [DType] = [.float32, .bfloat16, .float16, .int32]

  /// Bytes per element.
  /// - Precondition: the type is not quantised; its elements share scales.
  public var byteCount: Int {
    switch self {
    case .float32, .int32: 4
    case .bfloat16, .float16: 2
    case .quantized: fatalError("\(self) has no bytes per element")
    }
  }

  /// Bytes of a tensor of this type.
  public func byteCount(of shape: Shape) -> Int {
    switch self {
    case .quantized(let quantization): QuantizedLayout(shape, quantization).byteCount
    default: shape.count * byteCount
    }
  }

  public var isFloatingPoint: Bool {
    switch self {
    case .float32, .bfloat16, .float16: true
    case .int32, .quantized: false
    }
  }

  /// Whether `linear` and `gatherRows` take a matrix of this type.
  public var isWeight: Bool { self != .int32 }
}

extension DType: CustomStringConvertible {
  /// As PyTorch and configurations call it.
  public var description: String {
    switch self {
    case .float32: "float32"
    case .bfloat16: "bfloat16"
    case .float16: "float16"
    case .int32: "int32"
    case .quantized(let quantization): quantization.description
    }
  }
}
