import ArgumentParser
import Foundation
import MaTVLMCore

/// `matvlm pretrain`
struct Pretrain: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Trains a small teacher on pictures of shapes, drawn as they are needed.")

  @OptionGroup var runFile: RunFileOptions

  @Option(parsing: .unconditional, help: "Different pictures to learn from.")
  var pictures = 200_000

  @OptionGroup var training: TrainingOptions
  @OptionGroup var checkpoints: CheckpointOptions
  @OptionGroup var output: OutputOptions
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    if !(1...100_000_000).contains(pictures) {
      throw ValidationError("--pictures must be between 1 and 100000000, not \(pictures).")
    }
  }

  func run() throws {
    var defaults = RunDefaults(warmup: 0.03, decay: 0.5)
    defaults.configuration.batchSize = 32
    defaults.configuration.learningRate = 1e-3
    defaults.configuration.clip = 1
    let configuration = try training.configuration(defaults, samples: pictures)
    let (device, ranks) = try machine.openTogether()
    try output.check(for: checkpoints, among: ranks)
    let data = ShapeTrainingData(ShapeDataset(split: .train), count: pictures)
    let heldOut = ShapeTrainingData(ShapeDataset(split: .heldOut), count: 256)
    let trainer = Trainer(
      pretraining: try ShapesTeacher.fresh(seed: configuration.seed, on: device), configuration,
      data: data, heldOut: heldOut)
    var settings = EffectiveSettings(.pretrain)
    settings["pictures"] = "\(pictures)"
    settings.set(configuration)
    settings.set(machine)
    var session = TrainingSession(
      trainer, among: ranks, output, checkpoints, hasEvents: training.tensorboard, settings)
    try session.run(storedAs: .bfloat16)
  }
}
