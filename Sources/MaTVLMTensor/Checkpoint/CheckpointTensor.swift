import Foundation

/// One tensor to be written: its name, how it is to be stored, and where its values come from.
public struct CheckpointTensor: Sendable {
  public let name: String
  /// The type in the file.
  public let type: SafetensorsType
  public let shape: Shape

  private enum Content: Sendable {
    case tensor(Tensor)
    /// Bytes of a tensor's memory, from an offset on.
    case part(Tensor, Int)
    case file(SafetensorsFile, SafetensorsFile.Entry)
    case bytes(Data)
  }
  private let content: Content

  /// A tensor whose values are rounded to `dtype` when they are written; its own type by default.
  /// - Precondition: `dtype` is the tensor's, or both are floating-point types.
  public init(_ name: String, _ tensor: Tensor, as dtype: DType? = nil) {
    let dtype = dtype ?? tensor.dtype
    require(
      dtype == tensor.dtype || dtype.isFloatingPoint && tensor.dtype.isFloatingPoint,
      "CheckpointTensor: \(name) is \(tensor.dtype), not to be stored as \(dtype)")
    self.name = name
    type = SafetensorsType(dtype)
    shape = tensor.shape
    content = .tensor(tensor.detached)
  }

  /// The tensors that a parameter is stored as: itself, or the codes and scales of a quantised one.
  /// - Parameter dtype: what floating-point values are rounded to.
  public static func parts(of parameter: Parameter, as dtype: DType) -> [CheckpointTensor] {
    let value = parameter.value.detached
    guard case .quantized(let quantization) = value.dtype else {
      return [CheckpointTensor(parameter, as: dtype)]
    }
    let (name, layout) = (parameter.name, QuantizedLayout(value.shape, quantization))
    return [
      CheckpointTensor(QuantizedName.codes(name), .uint8, layout.codesShape, value, at: 0),
      CheckpointTensor(
        QuantizedName.scales(name), .bfloat16, layout.scalesShape, value, at: layout.scalesOffset),
    ]
  }

  private init(
    _ name: String, _ type: SafetensorsType, _ shape: Shape, _ tensor: Tensor, at offset: Int
  ) {
    (self.name, self.type, self.shape) = (name, type, shape)
    content = .part(tensor, offset)
  }

  /// A parameter under its own name.
  public init(_ parameter: Parameter, as dtype: DType? = nil) {
    self.init(parameter.name, parameter.value, as: dtype)
  }

  /// A tensor of another file as it is stored there, of whatever type.
  /// - Precondition: `entry` is one of the file's.
  public init(_ entry: SafetensorsFile.Entry, of file: SafetensorsFile) {
    require(file.entry(entry.name) == entry, "CheckpointTensor: \(entry.name) is elsewhere")
    (name, type, shape) = (entry.name, entry.type, entry.shape)
    content = .file(file, entry)
  }

  /// A tensor given as bytes, little-endian and row-major.
  /// - Precondition: there are as many bytes as type and shape take.
  public init(_ name: String, _ type: SafetensorsType, _ shape: Shape, bytes: Data) {
    require(
      bytes.count == shape.count * type.byteCount,
      "CheckpointTensor: \(name) \(shape) of \(type.rawValue) from \(bytes.count) bytes")
    (self.name, self.type, self.shape) = (name, type, shape)
    content = .bytes(bytes)
  }

  public var byteCount: Int { shape.count * type.byteCount }

  /// Whether this is one of several that lie end to end in memory, and should in the file.
  var isPart: Bool { if case .part = content { true } else { false } }

  /// Hands the bytes to `body` as they are to be stored, in order and in bounded pieces.
  func forEachChunk(_ body: (UnsafeRawBufferPointer) throws -> Void) throws {
    switch content {
    case .tensor(let tensor):
      try tensor.forEachChunk(as: type.parameterType ?? .int32, body)
    case .part(let tensor, let offset):
      try tensor.forEachChunk(of: offset..<offset + byteCount, body)
    case .file(let file, let entry):
      try withExtendedLifetime(file) { try body(file.bytes(of: entry)) }
    case .bytes(let bytes):
      try bytes.withUnsafeBytes(body)
    }
  }
}
