import ArgumentParser
import Foundation
import MaTVLMCore

/// `matvlm bench`
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measures speed and memory on random weights.",
    subcommands: [BenchDecode.self, BenchPrefill.self, BenchDistill.self])
}

/// `matvlm bench distill`
struct BenchDistill: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "distill", abstract: "One update of distillation; prints one JSON object.")

  @Option(parsing: .unconditional, help: "Model width.") var hidden = 256
  @Option(parsing: .unconditional, help: "Layers.") var layers = 8
  @Option(parsing: .unconditional, help: "Attention heads.") var heads = 4
  @Option(parsing: .unconditional, help: "Tokens of the vocabulary.") var vocab = 2048
  @Option(parsing: .unconditional, help: "Sequences of an update.") var batch = 8
  @Option(parsing: .unconditional, help: "Tokens of a sequence.") var length = 128
  @Option(parsing: .unconditional, help: "One layer in so many is replaced.") var every = 4
  @Option(parsing: .unconditional, help: "Updates that are timed; the median counts.") var repeats =
    5
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    for (name, value) in [
      ("hidden", hidden), ("layers", layers), ("heads", heads), ("vocab", vocab), ("batch", batch),
      ("length", length), ("every", every), ("repeats", repeats),
    ] where !(1...1_000_000).contains(value) {
      throw ValidationError("--\(name) must be between 1 and 1000000, not \(value).")
    }
    if hidden % heads != 0 { throw ValidationError("--heads must divide --hidden.") }
    let memory = Double(ProcessInfo.processInfo.physicalMemory)
    if weightBytes > memory {
      throw ValidationError(
        String(
          format: "The weights alone take %.0f GiB, and this machine's memory is %.0f GiB.",
          weightBytes / 0x1p30, memory / 0x1p30))
    }
  }

  /// Of the blocks, embedding and head in float32.
  private var weightBytes: Double {
    let (hidden, layers, vocab) = (Double(hidden), Double(layers), Double(vocab))
    return 4 * (12 * layers * hidden * hidden + 2 * vocab * hidden)
  }

  func run() throws {
    let (device, ranks) = try machine.openTogether()
    var sizes = ModelSizes()
    (sizes.hidden, sizes.intermediate) = (hidden, 4 * hidden)
    (sizes.layers, sizes.heads) = (layers, heads)
    (sizes.vocabulary, sizes.endToken) = (vocab, 0)
    // As the PyTorch program that this is measured beside.
    sizes.rotaryFactor = hidden / heads == 80 ? 0.4 : 0.5
    (sizes.vision.hidden, sizes.vision.intermediate, sizes.vision.layers) = (16, 16, 1)
    sizes.vision.heads = 1
    let benchmark = try DistillationBenchmark(
      sizes, every: every, sequences: batch, length: length, on: device, among: ranks)
    let result = try benchmark.run(repeats: repeats)
    if ranks.rank == 0 { try StandardOutput.print(result.jsonText()) }
  }
}
