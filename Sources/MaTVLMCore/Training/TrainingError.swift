/// Why a run cannot go on.
public enum TrainingError: Error, Sendable, Hashable, CustomStringConvertible {
  /// A number became NaN or infinite.
  ///
  /// - Parameters:
  ///   - samples: those that alone have this effect; all of the update's when none has.
  ///   - tensor: what is not finite: a parameter, its gradient, or a loss.
  case notFinite(step: Int, samples: [String], tensor: String)
  /// Trained parameters that the first update did not reach.
  case withoutGradient(step: Int, tensors: [String])

  public var description: String {
    switch self {
    case .notFinite(let step, let samples, let tensor):
      "update \(step): \(tensor) is not finite (\(Self.list("sample", samples))); lower the learning "
        + "rate, or look at what these samples hold"
    case .withoutGradient(let step, let tensors):
      "update \(step): no gradient reached \(Self.list("tensor", tensors)), which were to be trained; "
        + "give the loss that trains them a weight, or leave them out"
    }
  }

  private static func list(_ noun: String, _ names: [String]) -> String {
    "\(noun)\(names.count == 1 ? "" : "s") " + names.prefix(8).joined(separator: ", ")
      + (names.count > 8 ? ", …" : "")
  }
}
