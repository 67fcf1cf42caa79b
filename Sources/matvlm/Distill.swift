import ArgumentParser
import Foundation
import MaTVLMCore

/// `matvlm distill`
struct Distill: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Replaces attention by Mamba-2 and teaches the result what the original answers.",
    discussion: """
      Without --teacher and --data, distils the small model that comes with the program, on \
      pictures of shapes.
      """)

  @OptionGroup var runFile: RunFileOptions

  @Option(help: "The teacher's folder; the embedded one when not given.", completion: .directory)
  var teacher: String?

  @Option(help: "A hybrid to go on from, in place of a freshly seeded one.", completion: .directory)
  var student: String?

  @Option(help: "A LLaVA data file.", completion: .file(extensions: ["json"]))
  var data: String?

  @Option(help: "What the pictures' names are relative to; the data file's folder when not given.")
  var imageFolder: String?

  @Option(help: "A LLaVA data file to evaluate on now and then.")
  var heldOut: String?

  @OptionGroup var layers: LayerOptions
  @OptionGroup var seeding: SeedingOptions
  @OptionGroup var training: TrainingOptions
  @OptionGroup var objective: ObjectiveOptions
  @OptionGroup var checkpoints: CheckpointOptions
  @OptionGroup var output: OutputOptions
  @OptionGroup var machine: MachineOptions
  @OptionGroup var limits: LimitOptions
  @OptionGroup var vision: VisionCacheOptions

  func validate() throws {
    if teacher != nil, data == nil {
      throw ValidationError("--teacher needs --data: what it is to be asked about.")
    }
    if student != nil, layers.ssmLayers != nil || layers.ssmRatio != nil || seeding.seeding != nil {
      throw ValidationError("--student has its layers already; leave out --ssm-… and --seeding.")
    }
  }

  func run() throws {
    let objective = try objective.objective()
    let (device, ranks) = try machine.openTogether()
    try output.check(for: checkpoints, among: ranks)
    let source = try source()
    var configuration = try training.configuration(source.defaults, samples: source.train.count)
    try fit(&configuration, source, on: device)
    let trainer = try trainer(configuration, source, on: device, vision.open())
    var session = TrainingSession(
      trainer, among: ranks, output, checkpoints, hasEvents: training.tensorboard,
      settings(configuration, objective, layers: trainer.student.decoder.mambaLayers))
    // Its pictures are read while the run goes on.
    try withExtendedLifetime(source) { try session.run() }
  }

  /// What the student learns from.
  func source() throws -> DistillationData {
    try DistillationData(data: data, imageFolder: imageFolder, heldOut: heldOut)
  }

  /// The run before its first update.
  func trainer(
    _ configuration: TrainingConfiguration, _ source: DistillationData, on device: Device,
    _ visionCache: VisionCache? = nil
  ) throws -> Trainer {
    let teacher = try VisionLanguageModel.load(EmbeddedModel.folder(teacher), on: device)
    let student = try makeStudent(of: teacher, source.train, configuration)
    return Trainer(
      distilling: teacher, into: student, try objective.objective(), configuration,
      data: source.train, heldOut: source.heldOut, visionCache: visionCache)
  }

  /// Turns recomputation on where the run needs it to fit into memory.
  /// - Throws: ``PlanError`` when that is not enough.
  private func fit(
    _ configuration: inout TrainingConfiguration, _ source: DistillationData, on device: Device
  ) throws {
    let chosen: TrainingConfiguration
    do {
      chosen = try limits.fitting(configuration, self, source, on: device, samples: 16)
        .count.configuration
    } catch is SampleError {
      return  // The run itself says which samples cannot be used, and goes on if it may.
    } catch is DatasetError {
      return
    }
    if chosen.recompute, !configuration.recompute {
      StandardError.print("blocks are computed again for the gradient: memory would not do")
    }
    configuration = chosen
  }

  private func makeStudent(
    of teacher: VisionLanguageModel, _ data: any TrainingData, _ run: TrainingConfiguration
  ) throws -> VisionLanguageModel {
    if let student {
      let folder = RunFolder.model(at: URL(fileURLWithPath: student, isDirectory: true))
      return try VisionLanguageModel.load(folder, on: teacher.device).checkedAsStudent(of: teacher)
    }
    var calibration = seeding.calibration
    (calibration.maximumLength, calibration.brokenSamples) = (run.maximumLength, run.brokenSamples)
    return try seeding.student(
      of: teacher, replacing: layers.layers(of: teacher.configuration.text.layers),
      // A device without values has nothing to fit anything to.
      teacher.device.holdsValues ? start : .paper, seed: run.seed, calibration, data: { data })
  }

  /// How mixers start.
  var start: Seeding { seeding.seeding ?? (data == nil ? .identity : .paper) }

  private func settings(
    _ configuration: TrainingConfiguration, _ objective: DistillationObjective, layers: [Int]
  ) -> EffectiveSettings {
    var settings = EffectiveSettings(.distill)
    settings.setPath("teacher", teacher)
    settings.setPath("student", student)
    settings.setPath("data", data)
    settings.setPath("image-folder", imageFolder)
    settings.setPath("held-out", heldOut)
    if student == nil {
      settings["ssm-layers"] = layers.map(String.init).joined(separator: ",")
      settings["seeding"] = start.rawValue
      if start == .calibrated { settings.set(seeding.calibration) }
    }
    settings.set(objective)
    settings.set(configuration)
    settings.set(machine)
    settings["memory"] = limits.memory.map { "\($0)" }
    settings.setPath("vision-cache", vision.visionCache)
    settings["vision-cache-budget"] = vision.visionCacheBudget.map { "\($0)" }
    return settings
  }
}
