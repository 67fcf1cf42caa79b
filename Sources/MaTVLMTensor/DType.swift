/// What one element of a tensor is.
public enum DType: String, Sendable, Hashable, CaseIterable {
  case float32, bfloat16, float16, int32

  /// Bytes per element.
  public var byteCount: Int {
    switch self {
    case .float32, .int32: 4
    case .bfloat16, .float16: 2
    }
  }

  public var isFloatingPoint: Bool { self != .int32 }
}
