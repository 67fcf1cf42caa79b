import ArgumentParser
import MaTVLMCore

/// Which layers become Mamba-2.
struct LayerOptions: ParsableArguments {
  @Option(
    parsing: .unconditional, help: ArgumentHelp("Layers to replace, from 0.", valueName: "0,4,…"))
  var ssmLayers: LayerList?

  @Option(
    parsing: .unconditional,
    help: "Part of the layers to replace when no list is given; 0.25 by default.")
  var ssmRatio: Double?

  @Option(help: "Where these go: even, beginning, middle, end.")
  var placement: LayerPlacement = .even

  func validate() throws {
    if ssmLayers != nil, ssmRatio != nil {
      throw ValidationError("Give --ssm-layers or --ssm-ratio, not both.")
    }
    if let ssmRatio, !(ssmRatio > 0 && ssmRatio <= 1) {
      throw ValidationError("--ssm-ratio must be above 0 and at most 1, not \(ssmRatio).")
    }
  }

  /// Whether the command line says which layers.
  var areGiven: Bool { ssmLayers != nil || ssmRatio != nil }

  /// The layers to replace in a decoder of `count`.
  func layers(of count: Int) throws -> [Int] {
    guard let list = ssmLayers?.layers else {
      return placement.layers(ratio: ssmRatio ?? 0.25, of: count)
    }
    if let outside = list.first(where: { !(0..<count).contains($0) }) {
      throw ValidationError(
        "--ssm-layers: layer \(outside) does not exist; the model has layers 0 to \(count - 1).")
    }
    return list
  }
}

/// Layer numbers separated by commas, each once.
struct LayerList: ExpressibleByArgument {
  let layers: [Int]

  init?(argument: String) {
    let numbers = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
    let layers = numbers.compactMap { $0 }
    guard layers.count == numbers.count, Set(layers).count == layers.count else { return nil }
    self.layers = layers.sorted()
  }
}

extension LayerPlacement: ExpressibleByArgument {}
extension Divergence: ExpressibleByArgument {}
extension BrokenSamplePolicy: ExpressibleByArgument {}
extension OutlierPolicy: ExpressibleByArgument {}
