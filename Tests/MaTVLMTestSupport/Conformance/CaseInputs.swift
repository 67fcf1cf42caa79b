import MaTVLMTensor

/// Makes the inputs of a case: the same numbers on every device, drawn from the case's name.
struct CaseInputs {
  let device: Device
  /// What activations are rounded to, so that a reference with wider ones sees the same numbers.
  private let activationType: DType
  /// Whether the device that is judged rounds rows for weights in bfloat16.
  private let roundsRows: Bool
  private var generator: RandomGenerator
  /// Inputs that no function may write, with their bytes.
  private var guarded: [(tensor: Tensor, bytes: [UInt8])] = []

  /// - Parameter judged: the device that is compared with a reference.
  init(of operation: OperationCase, on device: Device, judging judged: Device) {
    self.device = device
    activationType = judged.backend.activationType
    roundsRows = (judged.backend as? CPUBackend)?.roundsRows ?? false
    let seed = operation.name.utf8.reduce(0xCBF2_9CE4_8422_2325 as UInt64) {
      ($0 ^ UInt64($1)) &* 0x100_0000_01B3  // FNV-1a
    }
    generator = RandomGenerator(seed: seed)
  }

  var backend: any Backend { device.backend }

  /// Normal numbers of the device's activation type.
  mutating func activations(_ shape: Shape, mean: Double = 0, deviation: Double = 1) -> Tensor {
    let values = normal(shape.count, mean, deviation).map { rounded($0, to: activationType) }
    return guardedTensor(values, shape, backend.activationType)
  }

  /// The same, but some rows are not numbers.
  mutating func activations(_ shape: Shape, without rows: Range<Int>) -> Tensor {
    var values = normal(shape.count, 0, 1).map { rounded($0, to: activationType) }
    for index in rows.lowerBound * shape.width..<rows.upperBound * shape.width {
      values[index] = .nan
    }
    return guardedTensor(values, shape, backend.activationType)
  }

  /// Rows for products with weights of a type, such that a device which rounds them changes nothing.
  mutating func rows(_ shape: Shape, for weights: DType, deviation: Double = 1) -> Tensor {
    let values = normal(shape.count, 0, deviation).map {
      rounded($0, to: roundsRows && weights == .bfloat16 ? .bfloat16 : activationType)
    }
    return guardedTensor(values, shape, backend.activationType)
  }

  /// Normal float32 numbers: vectors of weights, weights of losses.
  mutating func vector(_ shape: Shape, mean: Double = 0, deviation: Double = 1) -> Tensor {
    guardedTensor(normal(shape.count, mean, deviation), shape, .float32)
  }

  /// Normal numbers of any type.
  mutating func numbers(_ shape: Shape, _ dtype: DType) -> Tensor {
    guardedTensor(normal(shape.count, 0, 1), shape, dtype)
  }

  /// A matrix of normal numbers that keeps the size of what it is multiplied with.
  mutating func matrix(_ outputs: Int, _ inputs: Int, _ dtype: DType = .float32) -> Tensor {
    let deviation = 1 / Double(max(1, inputs)).squareRoot()
    return guardedTensor(normal(outputs * inputs, 0, deviation), [outputs, inputs], dtype)
  }

  /// Row numbers, some of them more than once.
  mutating func indices(_ count: Int, below bound: Int) -> Tensor {
    indices((0..<count).map { _ in Int(generator.next() % UInt64(bound)) })
  }

  mutating func indices(_ values: [Int]) -> Tensor {
    guardedTensor(values.map(Double.init), [values.count], .int32)
  }

  /// Given numbers, as the device stores `dtype`.
  mutating func fixed(_ values: [Double], _ shape: Shape, _ dtype: DType = .float32) -> Tensor {
    guardedTensor(values, shape, dtype)
  }

  /// Normal float32 numbers that the function writes in place.
  mutating func state(_ shape: Shape) -> Tensor {
    tensor(normal(shape.count, 0, 1), shape, .float32)
  }

  /// A cache, of the activation type if of no other, with NaN in every row: only rows that were
  /// appended may be read.
  func emptyCache(_ shape: Shape, _ dtype: DType? = nil) -> Tensor {
    tensor(
      Array(repeating: .nan, count: shape.count), shape, dtype ?? backend.activationType)
  }

  /// A copy that a function may write in place.
  func copy(_ x: Tensor) -> Tensor {
    let copy = Tensor(uninitialized: x.shape, x.dtype, on: backend)
    bytes(of: x).withUnsafeBytes { backend.write($0, to: copy.storage.memory, at: 0) }
    return copy
  }

  /// Whether any input was written that must not be.
  func wereWritten() -> Bool { guarded.contains { bytes(of: $0.tensor) != $0.bytes } }

  private mutating func normal(_ count: Int, _ mean: Double, _ deviation: Double) -> [Double] {
    (0..<count).map { _ in mean + deviation * generator.normal() }
  }

  private mutating func guardedTensor(
    _ values: [Double], _ shape: Shape, _ dtype: DType
  ) -> Tensor {
    let tensor = tensor(values, shape, dtype)
    guarded.append((tensor, hostBytes(of: values, shape, as: dtype)))
    return tensor
  }

  private func tensor(_ values: [Double], _ shape: Shape, _ dtype: DType) -> Tensor {
    let tensor = Tensor(uninitialized: shape, dtype, on: backend)
    hostBytes(of: values, shape, as: dtype).withUnsafeBytes {
      backend.write($0, to: tensor.storage.memory, at: 0)
    }
    return tensor
  }

  private func bytes(of x: Tensor) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: x.dtype.byteCount(of: x.shape))
    bytes.withUnsafeMutableBytes { backend.read(x.storage.memory, at: 0, into: $0) }
    return bytes
  }
}
