import ArgumentParser
import Foundation
import MaTVLMCore

/// `matvlm quantize`
struct Quantize: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Writes a model with its matrices of weights rounded to 8 or 4 bits.")

  @Option(help: "The model's folder, with weights in floating point.", completion: .directory)
  var model: String

  @Option(parsing: .unconditional, help: "Bits of a weight: 8, 4.")
  var bits: Int

  @Option(
    parsing: .unconditional,
    help: "Weights that share a scale: 32, 64, 128, 256; 64 for 8 bits and 32 for 4 by default.")
  var group: Int?

  @OptionGroup var output: OutputOptions
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    if Quantization.Code(rawValue: bits) == nil {
      throw ValidationError("--bits must be 8 or 4, not \(bits).")
    }
    if let group, !Quantization.groups.contains(group) {
      throw ValidationError("--group must be 32, 64, 128 or 256, not \(group).")
    }
  }

  func run() throws {
    guard let code = Quantization.Code(rawValue: bits) else { return }
    let device = try machine.open()
    try output.check()
    let model = try VisionLanguageModel.load(
      URL(fileURLWithPath: model, isDirectory: true),
      quantization: Quantization(code, group: group), on: device)
    try model.save(to: output.folder, replacing: output.mayReplace)
    try StandardOutput.print(output.output)
  }
}
