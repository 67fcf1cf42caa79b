import MaTVLMTensor

/// A floating-point format of 16 bits, written out from its definition (IEEE 754, section 3.4).
struct NarrowFloat {
  /// Stored bits of the significand, without the leading one.
  let significandBits: Int
  let bias: Int

  static let bfloat16 = NarrowFloat(significandBits: 7, bias: 127)
  static let float16 = NarrowFloat(significandBits: 10, bias: 15)

  /// The nearest number of this format, the even one of two that are equally near.
  func encode(_ x: Double) -> UInt16 {
    let sign: UInt16 = x.sign == .minus ? 0x8000 : 0
    guard !x.isNaN else { return sign | 0x7FFF }
    guard x != 0 else { return sign }
    let exponent = x.isInfinite ? bias + 1 : max(Int(x.exponent), 1 - bias)
    guard exponent <= bias else { return sign | UInt16((2 * bias + 1) << significandBits) }
    let unit = Double(sign: .plus, exponent: exponent - significandBits, significand: 1)
    let units = Int((x.magnitude / unit).rounded(.toNearestOrEven))
    // The leading one of `units` adds one to the exponent's field, and so does a carry.
    return sign | UInt16((exponent + bias - 1) << significandBits + units)
  }

  func decode(_ bits: UInt16) -> Double {
    let field = Int(bits & 0x7FFF) >> significandBits
    let fraction = Double(Int(bits) & (1 << significandBits - 1))
    let sign: Double = bits & 0x8000 == 0 ? 1 : -1
    if field == 2 * bias + 1 { return fraction == 0 ? sign * .infinity : .nan }
    let leading: Double = field == 0 ? 0 : Double(1 << significandBits)
    let exponent = max(field, 1) - bias - significandBits
    return sign * (leading + fraction) * Double(sign: .plus, exponent: exponent, significand: 1)
  }
}

/// `values` as they lie in the memory of a tensor of type `dtype`.
func hostBytes(of values: [Double], _ shape: Shape, as dtype: DType) -> [UInt8] {
  switch dtype {
  case .float32: values.map { Float($0) }.withUnsafeBytes(Array.init)
  case .bfloat16: values.map(NarrowFloat.bfloat16.encode).withUnsafeBytes(Array.init)
  case .float16: values.map(NarrowFloat.float16.encode).withUnsafeBytes(Array.init)
  case .int32: values.map { Int32($0) }.withUnsafeBytes(Array.init)
  case .quantized(let quantization): QuantizedNumbers(shape, quantization).encode(values)
  }
}

/// The numbers in the memory of a tensor of type `dtype`.
func hostValues(in bytes: UnsafeRawBufferPointer, _ shape: Shape, of dtype: DType) -> [Double] {
  if case .quantized(let quantization) = dtype {
    return QuantizedNumbers(shape, quantization).decode(bytes)
  }
  return (0..<shape.count).map { index in
    let offset = index * dtype.byteCount
    return switch dtype {
    case .float32: Double(bytes.load(fromByteOffset: offset, as: Float.self))
    case .bfloat16:
      NarrowFloat.bfloat16.decode(bytes.load(fromByteOffset: offset, as: UInt16.self))
    case .float16:
      NarrowFloat.float16.decode(bytes.load(fromByteOffset: offset, as: UInt16.self))
    case .int32: Double(bytes.load(fromByteOffset: offset, as: Int32.self))
    case .quantized: fatalError("read above")
    }
  }
}

/// `value` rounded to what a tensor of type `dtype` can hold.
func rounded(_ value: Double, to dtype: DType) -> Double {
  switch dtype {
  case .float32: Double(Float(value))
  case .bfloat16: NarrowFloat.bfloat16.decode(NarrowFloat.bfloat16.encode(value))
  case .float16: NarrowFloat.float16.decode(NarrowFloat.float16.encode(value))
  case .int32: value.rounded()
  case .quantized: fatalError("a group is rounded as a whole")
  }
}
