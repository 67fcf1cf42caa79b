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
  @OptionGroup var seeding: SeedingOptions

  @Option(
    help: "A LLaVA data file whose samples calibrated mixers are fitted to.",
    completion: .file(extensions: ["json"]))
  var calibration: String?

  @Option(help: "What its pictures' names are relative to; its own folder when not given.")
  var imageFolder: String?

  @Option(parsing: .unconditional, help: "Draws what seeding does not copy.")
  var seed: UInt64 = 42

  @OptionGroup var output: OutputOptions
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    if seeding.seeding == .calibrated {
      if teacher != nil, calibration == nil {
        throw ValidationError(
          "--seeding calibrated of --teacher needs --calibration: training data.")
      }
    } else if calibration != nil || imageFolder != nil {
      throw ValidationError("--calibration and --image-folder need --seeding calibrated.")
    }
  }

  func run() throws {
    let device = try machine.open()
    try output.check()
    let model = try VisionLanguageModel.load(EmbeddedModel.folder(teacher), on: device)
    var source: DistillationData?
    let student = try seeding.student(
      of: model, replacing: layers.layers(of: model.configuration.text.layers),
      seeding.seeding ?? .paper, seed: seed, seeding.calibration,
      data: {
        let data = try DistillationData(
          data: calibration, imageFolder: imageFolder, heldOut: nil)
        source = data
        return data.train
      })
    withExtendedLifetime(source) {}  // Its pictures were read meanwhile.
    try student.save(to: output.folder, replacing: output.mayReplace)
    try StandardOutput.print(output.output)
  }
}
