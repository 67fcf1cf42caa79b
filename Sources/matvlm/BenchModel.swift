import ArgumentParser
import Foundation
import MaTVLMCore

/// The models whose speed is measured, and where the results go.
struct BenchModel: ParsableArguments {
  /// Sizes that have a name.
  enum Preset: String, CaseIterable, ExpressibleByArgument {
    case phi2Siglip = "phi2-siglip"
    case shapes

    var sizes: ModelSizes {
      switch self {
      case .phi2Siglip: ModelSizes()
      case .shapes: ShapesTeacher.sizes(vocabulary: 512)
      }
    }
  }

  @Option(
    help: "A model folder; random weights of a preset when not given.", completion: .directory)
  var model: String?

  @Option(help: "Sizes of random weights: phi2-siglip, shapes.")
  var preset = Preset.phi2Siglip

  @Option(
    parsing: .unconditional,
    help: """
      Parts of the layers that have random Mamba-2 mixers, separated by commas: a line of the table \
      for each; 0 is the model as it is.
      """)
  var ssmRatio = NumberList([0])

  @Option(help: "How keys and values are kept: float32, bfloat16; as activations when not given.")
  var cacheType: Precision?

  @OptionGroup var weights: WeightOptions
  @OptionGroup var machine: MachineOptions

  @Flag(help: "Print one JSON object.") var json = false

  @Option(
    help: "Draw speed and memory over the context to this SVG file.",
    completion: .file(extensions: ["svg"]))
  var plot: String?

  func validate() throws {
    for ratio in ssmRatio.values where !(0...1).contains(ratio) {
      throw ValidationError("--ssm-ratio must be between 0 and 1, not \(ratio).")
    }
  }

  /// The model that others share their weights with.
  private func open() throws -> VisionLanguageModel {
    let device = try machine.open()
    if let type = cacheType?.type, !device.cacheTypes.contains(type) {
      throw ValidationError("--cache-type of \(device) cannot be \(type).")
    }
    var opened: VisionLanguageModel
    if let model {
      opened = try .load(
        URL(fileURLWithPath: model, isDirectory: true), quantization: weights.quantization,
        on: device)
    } else {
      opened = try .random(
        preset.sizes, matrices: weights.quantization.map(DType.quantized) ?? .bfloat16, on: device)
    }
    opened.cacheType = cacheType?.type
    return opened
  }

  /// Measures each of the models, and prints the table.
  func run(_ unit: BenchTable.Unit, _ measure: (InferenceBenchmark) -> [BenchmarkResult]) throws {
    var opened = try open()
    if !opened.decoder.mambaLayers.isEmpty, ssmRatio.values != [0] {
      throw ValidationError("--ssm-ratio goes with a model that has no Mamba-2 layers yet.")
    }
    let count = opened.decoder.blocks.count
    let replaced = ssmRatio.values.map {
      $0 == 0 ? [] : LayerPlacement.even.layers(ratio: $0, of: count)
    }
    var results: [BenchmarkResult] = []
    for (index, layers) in replaced.enumerated() {
      let model = layers.isEmpty ? opened : try opened.withRandomMixers(at: layers)
      // Attention that no later one has either is not in memory while this one is measured.
      if replaced[index...].allSatisfy({ Set($0).isSuperset(of: layers) }) { opened = model }
      results += measure(InferenceBenchmark(model))
    }
    if let plot {
      try AtomicFile.write(Data(SpeedChart(results).svg.utf8), to: URL(fileURLWithPath: plot))
    }
    let table = BenchTable(results: results)
    try StandardOutput.print(json ? table.jsonText() : table.text(unit))
  }
}

/// Numbers separated by commas.
struct NumberList: ExpressibleByArgument, CustomStringConvertible {
  let values: [Double]

  init(_ values: [Double]) { self.values = values }

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
    values = parts.compactMap { Double($0) }
    guard values.count == parts.count, values.allSatisfy(\.isFinite) else { return nil }
  }

  var description: String { values.map { String(format: "%g", $0) }.joined(separator: ",") }

  /// All of them as whole numbers within `range`; nil where one is not.
  func integers(in range: ClosedRange<Int>) -> [Int]? {
    let whole = values.compactMap { Int(exactly: $0) }.filter(range.contains)
    return whole.count == values.count ? whole : nil
  }
}
