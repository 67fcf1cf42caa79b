import ArgumentParser
import Foundation
import MaTVLMCore

/// `matvlm convert`
struct Convert: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Writes the seeded student of a teacher, without training.")

  @Option(help: "The teacher's folder; the embedded one when not given.", completion: .directory)
  var teacher: String?

  @OptionGroup var layers: LayerOptions

  @Option(parsing: .unconditional, help: "Draws what seeding does not copy.")
  var seed: UInt64 = 42

  @OptionGroup var output: OutputOptions
  @OptionGroup var machine: MachineOptions

  func run() throws {
    let device = try machine.open()
    try output.check()
    let model = try VisionLanguageModel.load(EmbeddedModel.folder(teacher), on: device)
    let student = try model.student(
      replacing: layers.layers(of: model.configuration.text.layers), layers.seeding ?? .paper,
      seed: seed)
    try student.save(to: output.folder, replacing: output.mayReplace)
    try StandardOutput.print(output.output)
  }
}
