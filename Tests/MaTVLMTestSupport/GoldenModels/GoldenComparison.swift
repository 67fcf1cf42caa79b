import MaTVLMCore
import MaTVLMTensor

/// How far a device may be from what PyTorch computed in float32.
package struct GoldenBounds: Sendable {
  /// ‖a − b‖ / ‖b‖ of rows between layers, and of logits.
  package let rows: Double
  /// Of losses, measured by themselves.
  package let losses: Double
  /// ‖a − b‖ / ‖b‖ of a parameter's gradient.
  package let gradients: Double
  /// Of losses, norms and parameters in the course of a training run.
  package let trajectory: Double
  /// Whether answers have to be PyTorch's, token by token.
  package let hasExactAnswers: Bool

  package init(
    rows: Double, losses: Double, gradients: Double, trajectory: Double, hasExactAnswers: Bool
  ) {
    (self.rows, self.losses, self.gradients) = (rows, losses, gradients)
    (self.trajectory, self.hasExactAnswers) = (trajectory, hasExactAnswers)
  }

  /// The processor: the golden files decide how exact its kernels are.
  package static let processor = GoldenBounds(
    rows: 1e-5, losses: 1e-5, gradients: 1e-4, trajectory: 1e-4, hasExactAnswers: true)

  /// The processor, where rows are rounded to bfloat16 for weights in bfloat16. Some twenty roundings of
  /// 2⁻⁹, spread evenly, add up like a random walk to 0.5 %; twice that.
  package static let roundedRows = GoldenBounds(
    rows: 0.01, losses: 0.1, gradients: 0.2, trajectory: 0.1, hasExactAnswers: false)

  /// A card with float32 activations.
  package static let float32 = GoldenBounds(
    rows: 1e-4, losses: 1e-4, gradients: 1e-4, trajectory: 1e-4, hasExactAnswers: true)

  /// A card with bfloat16 activations. Some forty roundings of 2⁻⁹ on the way through vision and
  /// decoder add up like a random walk to 1.2 %; three times that. Losses are distances of two
  /// models' rows, and gradients go the way twice.
  package static let bfloat16 = GoldenBounds(
    rows: 0.04, losses: 0.1, gradients: 0.2, trajectory: 0.1, hasExactAnswers: false)
}

/// Comparisons with PyTorch's numbers, one after the other.
package struct GoldenComparison: Sendable {
  package let device: Device
  package let bounds: GoldenBounds
  let cases: GoldenCases
  /// Numbers, or tensors of numbers, that were compared.
  package private(set) var count = 0
  /// The largest error, measured by its bound.
  package private(set) var worst = 0.0
  /// What is further off than its bound.
  package private(set) var failures: [String] = []

  package init(_ device: Device, _ bounds: GoldenBounds) throws {
    (self.device, self.bounds) = (device, bounds)
    cases = try .read()
  }

  func load(_ folder: String) throws -> VisionLanguageModel {
    try GoldenModels.load(folder, on: device)
  }

  mutating func compare(_ name: String, _ x: Tensor, _ expected: Tensor, _ bound: Double) {
    let difference = mismatch(x, expected, relativeL2: 0)
    note(name, difference?.relativeL2 ?? 0, bound, difference?.description)
  }

  mutating func compare(_ name: String, _ value: Double, _ expected: Double, _ bound: Double) {
    let error = value == expected ? 0 : (value - expected).magnitude / expected.magnitude
    note(name, error, bound, "\(value), expected \(expected)")
  }

  mutating func expect(_ isRight: Bool, _ name: String, _ what: @autoclosure () -> String) {
    count += 1
    if !isRight { failures.append("\(name): \(what())") }
  }

  private mutating func note(_ name: String, _ error: Double, _ bound: Double, _ what: String?) {
    count += 1
    worst = max(worst, error.isNaN ? .infinity : error / bound)
    if !(error <= bound) { failures.append("\(name): off by \(error): \(what ?? "")") }
  }
}
