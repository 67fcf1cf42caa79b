import MaTVLMTensor

extension Quantization {
  /// What cases are run with.
  static let cases = [
    Quantization(.int8), Quantization(.int8, group: 32), Quantization(.int4),
    Quantization(.int4, group: 128),
  ]
}

extension DType {
  static let floatingPointTypes = DType.elementTypes.filter(\.isFloatingPoint)
  static let quantizedTypes = Quantization.cases.map(DType.quantized)
}
