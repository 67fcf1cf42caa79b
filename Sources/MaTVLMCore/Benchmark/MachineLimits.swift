import MaTVLMTensor

/// What a device reaches at most, measured.
public struct MachineLimits: Sendable, Encodable {
  /// Bytes read from memory in a second.
  public let memoryBandwidth: Double
  /// Multiplications with a matrix of weights in a second, each with its addition.
  public let multiplications: Double

  /// Measures the device of a model, with matrices of the type that the model has.
  public init(for model: VisionLanguageModel) {
    memoryBandwidth = Self.memoryBandwidth(model.device)
    multiplications = Self.multiplications(
      model.device, model.decoder.blocks[0].mlp.fc1.weight.value.dtype)
  }

  /// The best of some passes over more than a gibibyte, which is given back afterwards, as the matrix
  /// of a product with one row, or to add up its squares.
  private static func memoryBandwidth(_ device: Device) -> Double {
    let (backend, byteCount, width) = (device.backend, 5 << 28, 4096)
    let type = backend.activationType
    let matrix = Tensor.zeros([byteCount / width / type.byteCount, width], type, on: device)
    let x = Tensor.zeros([1, matrix.shape.width], type, on: device)
    return Double(byteCount)
      / best(of: 6) {
        [
          clock.measure { _ = backend.linear(x, matrix, nil).array() },
          clock.measure { _ = backend.sumOfSquares([matrix]).item() },
        ].min()!
      }
  }

  /// The best of some products whose operands stay in caches. Products with weights in 16 bits add up
  /// in float32 on a processor, so that float32 weights, which are not unpacked, say what is possible.
  private static func multiplications(_ device: Device, _ weights: DType) -> Double {
    let (backend, side) = (device.backend, 1024)
    let isQuantized = !weights.isFloatingPoint
    let type = isQuantized ? weights : backend.activationType
    let drawn = Tensor.zeros([side, side], isQuantized ? .bfloat16 : type, on: device)
    let matrix = isQuantized ? backend.convert(drawn, to: type) : drawn
    let x = Tensor.zeros([side, side], backend.activationType, on: device)
    return Double(side * side * side)
      / best(of: 20) { clock.measure { _ = backend.linear(x, matrix, nil).firstRows(1).array() } }
  }

  private static let clock = ContinuousClock()

  private static func best(of passes: Int, _ time: () -> Duration) -> Double {
    (0..<passes).map { _ in time() }.min()! / .seconds(1)
  }
}
