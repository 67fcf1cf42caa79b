import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Layers that learn each by itself")
struct LayerLocalTests {
  private static func objective(
    _ comparison: DistillationObjective.LayerComparison
  ) -> DistillationObjective {
    var objective = DistillationObjective()
    (objective.layerComparison, objective.logitWeight) = (comparison, 0)
    return objective
  }

  @Test(
    "Whatever else of the student is spoiled: each layer has the same gradient, and others none",
    arguments: DistillationObjective.LayerComparison.allCases)
  func alone(_ comparison: DistillationObjective.LayerComparison) throws {
    let teacher = try GoldenModels.load("teacher")
    func gradients(spoiling spoiled: (VisionLanguageModel) -> [Parameter]) throws
      -> [String: [Float]]
    {
      let student = try GoldenModels.load("student")
      for parameter in spoiled(student) {
        let values = [Float](repeating: .nan, count: parameter.shape.count)
        parameter.assign(Tensor(values, parameter.shape))
      }
      let task = DistillationTask(
        teacher: teacher, student: student, Self.objective(comparison), recompute: false)
      let batch = try GoldenModels.batch(GoldenCases.read().samples, for: student)
      let (gradients, _) = task.lossGradients(batch, sequences: 4)
      return Dictionary(
        uniqueKeysWithValues: student.parameters.compactMap { parameter in
          gradients[parameter].map { (parameter.name, $0.array()) }
        })
    }
    let whole = try gradients { _ in [] }
    #expect(whole.keys.allSatisfy { $0.contains(".mamba.") })
    #expect(whole.values.allSatisfy { $0.allSatisfy(\.isFinite) })
    // Were the student run as a whole, in either direction, NaN would come out.
    let second = try gradients { student in
      let own = Set(student.decoder.blocks[2].mixer.parameters.map(\.name))
      return student.parameters.filter { !own.contains($0.name) }
    }
    let names = whole.keys.filter { $0.contains("layers.2.") }
    #expect(names.count >= 6)
    for name in names { #expect(second[name] == whole[name], "\(name)") }
  }

  @Test(
    "What the losses reach trains, and no more",
    arguments: [
      (DistillationObjective.LayerComparison.output, 8), (.heads, 7), (.matrix, 6),
    ])
  func reached(_ comparison: DistillationObjective.LayerComparison, _ tensors: Int) throws {
    let stage = StageTests.stage("local") { $0.objective = Self.objective(comparison) }
    var run = try GoldenRun(stages: [stage], StageTests.configuration())
    #expect(run.trainer.trainedParameters.count == 2 * tensors)
    // An error if a gradient did not reach one of them.
    try run.advance(1)
    #expect(run.updates[0].losses.kl == nil && run.updates[0].losses.layer > 0)
  }

  @Test(
    "Updates make the distance smaller",
    arguments: DistillationObjective.LayerComparison.allCases)
  func learns(_ comparison: DistillationObjective.LayerComparison) throws {
    let stage = StageTests.stage("local") {
      $0.objective = Self.objective(comparison)
      ($0.steps, $0.batchSize, $0.gradientAccumulation) = (12, 8, 1)
      ($0.warmupSteps, $0.clip, $0.learningRate) = (0, nil, 5e-3)
    }
    var run = try GoldenRun(stages: [stage], StageTests.configuration())
    try run.run()
    // Eight samples: every update sees all of them.
    let losses = run.updates.map(\.losses.layer)
    #expect(losses.last! < 0.9 * losses[0], "\(losses)")
  }

  @Test(
    "What names nothing, or nothing that the losses reach, is refused with the nearest name",
    arguments: [
      ("mixer", "did you mean mixers?"),
      ("*.mamba.conv1.weight", "did you mean *.mamba.conv1d.weight?"),
      ("xyzzy", "no group and no name"), ("connector", "reach nothing of connector"),
      ("*.mlp.*", "reach nothing of *.mlp.*"), ("*.mamba.norm.weight", "reach nothing"),
      ("vision_tower*", "no group and no name"),
    ])
  func refused(_ selector: String, _ words: String) throws {
    let stage = StageTests.stage("local") {
      ($0.objective, $0.trains) = (Self.objective(.matrix), ["mixers", selector])
    }
    let error = #expect(throws: TrainingStageError.self) {
      try GoldenRun(stages: [stage], StageTests.configuration())
    }
    #expect(error?.description.contains(words) == true, "\(error as Any)")
    #expect(error?.stage == "local")
  }

  @Test("Stages that cannot be: two of a name, odd names, no updates, weights of the teacher's")
  func impossible() throws {
    let run = StageTests.configuration()
    for stages in [
      [StageTests.stage("a"), StageTests.stage("a")], [StageTests.stage("a b")],
      [StageTests.stage("a") { $0.steps = 0 }], [StageTests.stage("a") { $0.warmupSteps = 4 }],
      [StageTests.stage("a") { $0.objective.temperature = -1 }],
    ] {
      #expect(throws: TrainingStageError.self) { try GoldenRun(stages: stages, run) }
    }
    let teacher = try GoldenModels.load("teacher")
    let student = try teacher.student(replacing: [1], .paper, seed: 3)
    let all = [StageTests.stage("a") { $0.trains = ["all"] }]
    #expect(try Trainer.needsOwnWeights(all, student, of: teacher))
    #expect(try !Trainer.needsOwnWeights([StageTests.stage("a")], student, of: teacher))
    #expect(throws: TrainingStageError.self) {
      try Trainer(
        distilling: teacher, into: student, stages: all, run, data: GoldenModels.data())
    }
    #expect(teacher.parameters.allSatisfy { !$0.isTrainable })
  }
}
