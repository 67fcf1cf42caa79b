import MaTVLMTensor

/// One use of one backend function, with inputs of one choice of shapes.
package struct OperationCase: Sendable, CustomStringConvertible {
  package let name: String
  package let tolerance: CaseTolerance
  /// Whether weights are quantised, which not every device holds.
  let isQuantized: Bool
  /// Makes inputs, calls the function, and names what came out.
  let body: @Sendable (inout CaseInputs) -> [CaseOutput]
  /// A type of caches that a device need not have; nil: the case is for every device.
  let cacheType: DType?

  init(
    _ name: String, _ tolerance: CaseTolerance, cacheType: DType? = nil, isQuantized: Bool = false,
    _ body: @escaping @Sendable (inout CaseInputs) -> [CaseOutput]
  ) {
    (self.name, self.tolerance, self.body) = (name, tolerance, body)
    self.cacheType = cacheType
    self.isQuantized = isQuantized
  }

  func isFor(_ device: Device) -> Bool {
    (cacheType.map(device.backend.cacheTypes.contains) ?? true)
      && (!isQuantized || device.backend.holdsQuantizedWeights)
  }

  package var description: String { name }

  /// The cases that a device has to pass.
  package static func all(on device: Device) -> [OperationCase] {
    all.filter { $0.isFor(device) }
  }

  /// Every case of every function.
  package static let all = [
    memory, rows, elementwise, products, norms, rotations, attention, attentionNeighbors,
    cachedAttention, manyCaches, addedAttention, convolutions, scans, scanPieces, mixers,
    addedMixers, argmaxima, divergences, sharpDivergences, vocabularies, distances, updates,
  ].flatMap { $0 }
}

/// How far a result may be from the reference's: ‖a − b‖ ≤ tolerance · (‖b‖ + 0.1 √count). Inputs
/// are of order one, so the floor only excuses sums that cancel.
package struct CaseTolerance: Sendable {
  /// With float32 activations.
  package let float32: Double
  /// Roundings to the activation type in a row, when that is narrower than float32.
  package let narrowRoundings: Double
  package let reason: String

  static let exact = CaseTolerance(
    float32: 0, narrowRoundings: 0, reason: "values are moved, not computed")
  static let oneRounding = CaseTolerance(
    float32: 1.2e-7, narrowRoundings: 1, reason: "one correctly rounded operation")
  static let fewRoundings = CaseTolerance(
    float32: 2e-6, narrowRoundings: 1,
    reason: "some float32 operations for each element, with exponentials good to a few units")
  static let sum = CaseTolerance(
    float32: 5e-6, narrowRoundings: 1, reason: "float32 sums of up to some thousand terms")
  static let roundedRows = CaseTolerance(
    float32: 1e-2, narrowRoundings: 1,
    reason: """
      rows may be rounded to 8 bits in groups: steps of 1/127 of the largest of some hundred normal \
      numbers, evenly spread, are 0.7 % of their deviation
      """)
  static let chain = CaseTolerance(
    float32: 3e-5, narrowRoundings: 3,
    reason: "several float32 sums, one after the other, and exponentials of sums")

  static let floor = 0.1

  /// - Parameter activationType: of the device that is judged.
  func relativeL2(_ activationType: DType, scale: Double) -> Double {
    let unitRoundoff =
      switch activationType {
      case .bfloat16: 0x1p-8
      case .float16: 0x1p-11
      case .float32, .int32, .quantized: 0.0
      }
    return scale * (float32 + narrowRoundings * unitRoundoff)
  }
}

/// A named result of a case, with the type that the protocol promises for it.
struct CaseOutput {
  enum Kind {
    /// The backend's activation type.
    case activation
    case stored(DType)
  }

  let name: String
  let tensor: Tensor
  let kind: Kind

  static func activation(_ name: String, _ tensor: Tensor) -> CaseOutput {
    CaseOutput(name: name, tensor: tensor, kind: .activation)
  }

  static func float32(_ name: String, _ tensor: Tensor) -> CaseOutput {
    CaseOutput(name: name, tensor: tensor, kind: .stored(.float32))
  }

  static func stored(_ name: String, _ tensor: Tensor, _ dtype: DType) -> CaseOutput {
    CaseOutput(name: name, tensor: tensor, kind: .stored(dtype))
  }
}
