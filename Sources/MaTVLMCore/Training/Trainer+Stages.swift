import MaTVLMDistillation
import MaTVLMTensor

extension Trainer {
  /// Distils `teacher` into `student` in several stages, one after the other.
  ///
  /// - Parameter configuration: what the stages do not say; its updates are those of all stages.
  /// - Throws: ``TrainingStageError`` when a stage is out of range, trains what its losses cannot
  ///   reach, or what the student shares with its teacher; ``StudentError`` when matrices are to be
  ///   compared and heads differ.
  /// - Precondition: the configuration has no problem, and there is data.
  public init(
    distilling teacher: VisionLanguageModel, into student: VisionLanguageModel,
    stages: [TrainingStage], _ configuration: TrainingConfiguration, data: any TrainingData,
    heldOut: (any TrainingData)? = nil, visionCache: VisionCache? = nil
  ) throws {
    require(!stages.isEmpty, "Trainer: no stages")
    var start = 0
    let placed = try stages.map { stage in
      let run = configuration.during(stage)
      try stage.check(run, among: stages, teacher, student)
      defer { start += stage.steps }
      let task = DistillationTask(
        teacher: teacher, student: student, stage.objective, recompute: configuration.recompute,
        hasPictures: data.hasPictures, visionCache: visionCache,
        training: try stage.trained(in: student))
      return StageOfRun(
        declared: stage, task: task, configuration: run, start: start,
        rows: try stage.trainedRows(in: student))
    }
    var whole = configuration
    (whole.steps, whole.warmupSteps, whole.decaySteps) = (start, 0, 0)
    self.init(placed, whole, data: data, heldOut: heldOut)
  }

  /// Whether stages train something that a student shares with its teacher, so that it needs weights
  /// of its own.
  ///
  /// - Throws: ``TrainingStageError`` for what names nothing, or nothing that the losses reach.
  public static func needsOwnWeights(
    _ stages: [TrainingStage], _ student: VisionLanguageModel, of teacher: VisionLanguageModel
  ) throws -> Bool {
    let shared = Set(teacher.parameters.map { ObjectIdentifier($0) })
    return try stages.contains { stage in
      try stage.trained(in: student).contains { shared.contains(ObjectIdentifier($0)) }
    }
  }

  /// Whether the run has stages of its own.
  public var hasStages: Bool { stages[0].declared != nil }

  /// The stage that the update after `step` belongs to; the last one at the run's end.
  func stage(of step: Int) -> StageOfRun { stages.first { step < $0.end } ?? stages.last! }

  /// What may have changed before the update after `step`: what stages up to its own train.
  func parameters(changedBefore step: Int) -> [Parameter] {
    Self.trained(in: stages.filter { $0.start <= step })
  }

  /// What stages train, each once.
  static func trained(in stages: [StageOfRun]) -> [Parameter] {
    var seen: Set<ObjectIdentifier> = []
    return stages.flatMap(\.task.trained).filter { seen.insert(ObjectIdentifier($0)).inserted }
  }
}

extension TrainingStage {
  /// - Parameters:
  ///   - run: as it goes during the stage.
  ///   - stages: all of the run.
  /// - Throws: as ``Trainer/init(distilling:into:stages:_:data:heldOut:)``.
  fileprivate func check(
    _ run: TrainingConfiguration, among stages: [TrainingStage], _ teacher: VisionLanguageModel,
    _ student: VisionLanguageModel
  ) throws {
    func refuse(_ problem: String) -> TrainingStageError { .init(stage: name, problem: problem) }
    guard name.wholeMatch(of: /[A-Za-z0-9_-]{1,64}/) != nil else {
      throw refuse("a name has letters, digits, - and _")
    }
    guard stages.count(where: { $0.name == name }) == 1 else {
      throw refuse("there is another stage of this name")
    }
    if let problem = run.problem ?? objective.problem { throw refuse(problem) }
    if objective.layerComparison == .matrix { try student.checkHeads(asOf: teacher) }
    if try Trainer.needsOwnWeights([self], student, of: teacher) {
      throw refuse("it trains what the student shares with its teacher; load the student by itself")
    }
  }
}
