import MaTVLMTensor

/// What a device reaches at most, measured.
public struct MachineLimits: Sendable, Encodable {
  /// Multiplications with a matrix of weights in a second, each with its addition.
  public let multiplications: Double

  /// Measures the device of a model, with matrices of the type that the model has.
  public init(for model: VisionLanguageModel) {
    multiplications = Self.multiplications(
      model.device, model.decoder.blocks[0].mlp.fc1.weight.value.dtype)
  }

  /// The best of some products large enough that starting them costs nothing. Weights in 16 bits may be unpacked to
  /// float32 first, so that float32 weights, which are not, say as well what is possible.
  private static func multiplications(_ device: Device, _ weights: DType) -> Double {
    // A card is done with matrices that a processor's caches hold before it has answered.
    let (backend, side) = (device.backend, device == .cpu ? 2048 : 8192)
    // Not zeros: a card that is spared work at its power limit has a higher clock.
    let numbers = Initialization.uniform(bound: 1).tensor(
      [side, side], .bfloat16, on: backend, using: RandomGenerator(seed: 1))
    let x = backend.convert(numbers, to: backend.activationType)
    let types = weights.isFloatingPoint ? [weights, backend.activationType] : [weights]
    let seconds = Set(types).map { type in
      let matrix = backend.convert(numbers, to: type)
      return best(of: 20) {
        clock.measure { _ = backend.linear(x, matrix, nil).firstRows(1).array() }
      }
    }
    return Double(side * side * side) / seconds.min()!
  }

  private static let clock = ContinuousClock()

  private static func best(of passes: Int, _ time: () -> Duration) -> Double {
    (0..<passes).map { _ in time() }.min()! / .seconds(1)
  }
}
