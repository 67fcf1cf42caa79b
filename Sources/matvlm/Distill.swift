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

  @Option(
    help: """
      A hybrid to go on from, in place of a freshly seeded one. With --ssm-layers or --ssm-ratio, \
      more of its layers are replaced.
      """, completion: .directory)
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

  @Option(
    parsing: .unconditional,
    help: """
      The probability of each number that the student's blocks add to the stream to be dropped; the \
      authors' code has 0.1.
      """)
  var studentDropout: Float?

  @Option(
    help: ArgumentHelp(
      "Stages in place of a single one; as a rule in a run file.", valueName: "YAML list"),
    transform: StageList.init(yaml:))
  var stages: StageList?

  @OptionGroup var checkpoints: CheckpointOptions
  @OptionGroup var output: OutputOptions
  @OptionGroup var machine: MachineOptions
  @OptionGroup var limits: LimitOptions
  @OptionGroup var vision: VisionCacheOptions

  func validate() throws {
    if teacher != nil, data == nil {
      throw ValidationError("--teacher needs --data: what it is to be asked about.")
    }
    if student != nil, !layers.areGiven, seeding.seeding != nil {
      throw ValidationError(
        "--student has its mixers already; --seeding is for what --ssm-… adds to them.")
    }
    if student != nil, seeding.seeding == .calibrated {
      throw ValidationError("--seeding calibrated is for all mixers at once, not with --student.")
    }
    _ = try objective.objective()
  }

  func run() throws {
    let objective = try objective.objective()
    let (device, ranks) = try machine.openTogether()
    try output.check(for: checkpoints, among: ranks)
    let source = try source()
    var configuration = try configuration(source)
    try fit(&configuration, source, on: device, among: ranks)
    let trainer = try trainer(configuration, source, on: device, vision.open())
    var settings = settings(
      configuration, objective, layers: trainer.student.decoder.mambaLayers)
    settings.set(try declaredStages(source), of: configuration)
    var session = TrainingSession(
      trainer, among: ranks, output, checkpoints, hasEvents: training.tensorboard, settings)
    // Its pictures are read while the run goes on.
    try withExtendedLifetime(source) { try session.run() }
  }

  /// What the student learns from.
  func source() throws -> DistillationData {
    try DistillationData(data: data, imageFolder: imageFolder, heldOut: heldOut)
  }

  /// The run as the options say it.
  func configuration(_ source: DistillationData) throws -> TrainingConfiguration {
    var run = try training.configuration(source.defaults, samples: source.train.count)
    run.studentDropout = studentDropout ?? run.studentDropout
    if let problem = run.problem { throw ValidationError("\(problem).") }
    return run
  }

  /// The run before its first update.
  func trainer(
    _ configuration: TrainingConfiguration, _ source: DistillationData, on device: Device,
    _ visionCache: VisionCache? = nil
  ) throws -> Trainer {
    let objective = try objective.objective()
    let stages = try declaredStages(source)
    let teacher = try VisionLanguageModel.load(EmbeddedModel.folder(teacher), on: device)
    let student = try makeStudent(of: teacher, for: stages, source.train, configuration)
    guard stages.isEmpty else {
      return try Trainer(
        distilling: teacher, into: student, stages: stages, configuration, data: source.train,
        heldOut: source.heldOut, visionCache: visionCache)
    }
    if objective.layerComparison == .matrix { try student.checkHeads(asOf: teacher) }
    return Trainer(
      distilling: teacher, into: student, objective, configuration, data: source.train,
      heldOut: source.heldOut, visionCache: visionCache)
  }

  /// Turns recomputation on where the run needs it to fit into memory.
  /// - Throws: ``PlanError`` when that is not enough.
  private func fit(
    _ configuration: inout TrainingConfiguration, _ source: DistillationData, on device: Device,
    among ranks: any Communicator
  ) throws {
    let wanted = configuration
    // Ranks begin with other programs in memory, and are to do the same.
    let recompute = try ranks.gather {
      do {
        return try limits.fitting(wanted, self, source, on: device, among: ranks, samples: 16)
          .count.configuration.recompute
      } catch is SampleError {
        return wanted.recompute  // The run itself says which samples cannot be used, and may go on.
      } catch is DatasetError {
        return wanted.recompute
      }
    }.contains(true)
    if recompute, !configuration.recompute {
      StandardError.print("blocks are computed again for the gradient: memory would not do")
    }
    configuration.recompute = recompute
  }

  /// What a stage does not say is as in the run.
  private func declaredStages(_ source: DistillationData) throws -> [TrainingStage] {
    try (stages?.stages ?? []).map { declared in
      let options = try StageOptions.parse(declared)
      do {
        let run = try options.training.over(training)
          .configuration(source.defaults, samples: source.train.count)
        var stage = TrainingStage(
          declared.name, try options.objective.over(objective).objective(), as: run)
        stage.trains = options.trains.map { $0.split(separator: ",").map(String.init) } ?? []
        return stage
      } catch let error as ValidationError {
        throw ValidationError("stage \(declared.name): \(error.message)")
      }
    }
  }

  /// A student whose frozen weights are the teacher's, unless a stage trains some of them.
  private func makeStudent(
    of teacher: VisionLanguageModel, for stages: [TrainingStage], _ data: any TrainingData,
    _ run: TrainingConfiguration
  ) throws -> VisionLanguageModel {
    let count = teacher.configuration.text.layers
    if let student {
      let folder = RunFolder.model(at: URL(fileURLWithPath: student, isDirectory: true))
      let earlier = try VisionLanguageModel.load(folder, on: teacher.device)
        .checkedAsStudent(of: teacher)
      guard layers.areGiven else { return earlier }
      return try earlier.extended(
        to: layers.layers(of: count), start == .paper ? .paper : .identity, from: teacher,
        seed: run.seed)
    }
    let replaced = try layers.layers(of: count)
    func needsOwnWeights() throws -> Bool {
      let plain = try teacher.student(replacing: replaced, .identity, seed: run.seed)
      return try Trainer.needsOwnWeights(stages, plain, of: teacher)
    }
    let source =
      try !stages.isEmpty && needsOwnWeights()
      ? VisionLanguageModel.load(EmbeddedModel.folder(self.teacher), on: teacher.device) : teacher
    var calibration = seeding.calibration
    (calibration.maximumLength, calibration.brokenSamples) = (run.maximumLength, run.brokenSamples)
    return try seeding.student(
      of: source, replacing: replaced,
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
    if student == nil || self.layers.areGiven {
      settings["ssm-layers"] = layers.map(String.init).joined(separator: ",")
      settings["seeding"] = start.rawValue
      if start == .calibrated { settings.set(seeding.calibration) }
    }
    settings.set(objective)
    settings["student-dropout"] = "\(configuration.studentDropout)"
    settings.set(configuration)
    settings.set(machine)
    settings["memory"] = limits.memory.map { "\($0)" }
    settings.setPath("vision-cache", vision.visionCache)
    settings["vision-cache-budget"] = vision.visionCacheBudget.map { "\($0)" }
    return settings
  }
}
