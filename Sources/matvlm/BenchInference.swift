import ArgumentParser
import Foundation
import MaTVLMCore

/// The model whose speed is measured.
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

  @Option(parsing: .unconditional, help: "Part of the layers that have Mamba-2 mixers.")
  var ssmRatio = 0.0

  @OptionGroup var weights: WeightOptions
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    if !(0...1).contains(ssmRatio) {
      throw ValidationError("--ssm-ratio must be between 0 and 1, not \(ssmRatio).")
    }
    if model != nil, ssmRatio > 0 {
      throw ValidationError("--ssm-ratio goes with --preset; a folder has its own layers.")
    }
  }

  func open() throws -> VisionLanguageModel {
    let device = try machine.open()
    if let model {
      return try .load(
        URL(fileURLWithPath: model, isDirectory: true), quantization: weights.quantization,
        on: device)
    }
    let sizes = preset.sizes
    let layers =
      ssmRatio > 0 ? LayerPlacement.even.layers(ratio: ssmRatio, of: sizes.layers) : []
    return try .random(
      sizes, mambaLayers: layers,
      matrices: weights.quantization.map(DType.quantized) ?? .bfloat16, on: device)
  }
}

/// `matvlm bench decode`
struct BenchDecode: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "decode",
    abstract: "Tokens per second of one answer, after contexts of some lengths.",
    discussion: "Prints one JSON object. The memory limit is what reading the weights would allow.")

  @OptionGroup var model: BenchModel

  @Option(parsing: .unconditional, help: "Rows that came before, separated by commas.")
  var contexts = "0"

  @Option(parsing: .unconditional, help: "Tokens that are timed; the median counts.")
  var tokens = 24

  func validate() throws {
    if !(1...100_000).contains(tokens) {
      throw ValidationError("--tokens must be between 1 and 100000, not \(tokens).")
    }
    if lengths == nil {
      throw ValidationError("--contexts must be numbers from 0 to 1000000, not \(contexts).")
    }
  }

  private var lengths: [Int]? {
    let parts = contexts.split(separator: ",", omittingEmptySubsequences: false)
    let numbers = parts.compactMap { Int($0) }.filter { (0...1_000_000).contains($0) }
    return numbers.count == parts.count ? numbers : nil
  }

  func run() throws {
    let benchmark = InferenceBenchmark(try model.open())
    let bandwidth = benchmark.memoryBandwidth()
    let results = (lengths ?? []).map {
      benchmark.decode(context: $0, tokens: tokens, bandwidth: bandwidth)
    }
    let report = DecodingReport(
      weightBytes: benchmark.weightBytes, memoryBandwidth: bandwidth, decoding: results)
    try StandardOutput.print(report.jsonText())
  }
}

private struct DecodingReport: Encodable {
  let weightBytes: Int
  /// Bytes per second.
  let memoryBandwidth: Double
  let decoding: [InferenceBenchmark.Decoding]
}

/// `matvlm bench prefill`
struct BenchPrefill: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prefill",
    abstract: "The time to read a prompt of text; prints one JSON object.")

  @OptionGroup var model: BenchModel

  @Option(parsing: .unconditional, help: "Tokens of the prompt.")
  var prompt = 256

  @Option(parsing: .unconditional, help: "Prompts that are timed; the median counts.")
  var repeats = 3

  func validate() throws {
    for (name, value) in [("prompt", prompt), ("repeats", repeats)]
    where !(1...100_000).contains(value) {
      throw ValidationError("--\(name) must be between 1 and 100000, not \(value).")
    }
  }

  func run() throws {
    let benchmark = InferenceBenchmark(try model.open())
    let report = PromptReport(
      weightBytes: benchmark.weightBytes,
      prefill: benchmark.prefill(tokens: prompt, repeats: repeats),
      peakMebibytes: ProcessMemory.peakBytes >> 20)
    try StandardOutput.print(report.jsonText())
  }
}

private struct PromptReport: Encodable {
  let weightBytes: Int
  let prefill: InferenceBenchmark.Prompt
  let peakMebibytes: Int
}
