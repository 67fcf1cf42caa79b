import ArgumentParser
import MaTVLMCore

/// How the weights of a model are held.
struct WeightOptions: ParsableArguments {
  @Option(help: "Round every matrix of weights as it is loaded: int8, int4.")
  var quantize: Quantization.Code?

  @Option(
    parsing: .unconditional,
    help: "Weights that share a scale: 32, 64, 128, 256; 64 for int8 and 32 for int4 by default.")
  var group: Int?

  func validate() throws {
    if let group, !Quantization.groups.contains(group) {
      throw ValidationError("--group must be 32, 64, 128 or 256, not \(group).")
    }
    if group != nil, quantize == nil {
      throw ValidationError("--group goes with --quantize.")
    }
  }

  /// nil: weights are held as stored.
  var quantization: Quantization? { quantize.map { Quantization($0, group: group) } }
}

extension Quantization.Code: ExpressibleByArgument {
  public init?(argument: String) {
    guard let code = Self.allCases.first(where: { "\($0)" == argument }) else { return nil }
    self = code
  }

  public static var allValueStrings: [String] { allCases.map { "\($0)" } }
  public var defaultValueDescription: String { "\(self)" }
}
