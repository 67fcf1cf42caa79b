import Foundation
import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Plans: what a run takes before it begins")
struct RunPlanTests {
  private func trainer(
    _ configuration: TrainingConfiguration, on device: Device, layers: [Int] = [0, 2]
  ) throws -> Trainer {
    let teacher = try GoldenModels.load("teacher", on: device)
    return Trainer(
      distilling: teacher, into: try teacher.student(replacing: layers, .paper, seed: 1),
      DistillationObjective(), configuration, data: try GoldenModels.data())
  }

  private func configuration(_ batch: Int = 2) -> TrainingConfiguration {
    var configuration = TrainingConfiguration()
    (configuration.steps, configuration.batchSize) = (10, batch)
    return configuration
  }

  private func count(_ configuration: TrainingConfiguration) throws -> RunCount {
    try RunCount(configuration, for: .processor, samples: 8, explaining: .seeded(.paper)) {
      try trainer($0, on: $1)
    }
  }

  /// Of a mixer of width 64 with 4 heads and 4 taps: in_proj, convolution, Δ's bias, A, D, norm,
  /// out_proj.
  private let mixer = 260 * 64 + 192 * 4 + 192 + 4 * 3 + 64 + 64 * 64
  private let connector = 64 * 49 + 64 * 65

  @Test("Parameters of the golden student, by hand")
  func parameters() throws {
    let plan = ParameterPlan(of: try trainer(configuration(), on: .cpu), .seeded(.paper))
    #expect(plan.trainable == 2 * mixer + connector)
    #expect(plan.teacher == ModelSummary(of: try GoldenModels.load("teacher")).parameters)
    // Two attention layers of four projections with biases went.
    #expect(plan.student == plan.teacher + 2 * (mixer - 4 * (64 * 64 + 64)))
    let groups = Dictionary(uniqueKeysWithValues: plan.groups.map { ($0.name, $0) })
    #expect(groups["Mamba-2 layers"]?.trainable == 2 * mixer)
    #expect(groups["connector"]?.trainable == connector)
    #expect(groups["attention layers"]?.parameters == 2 * 4 * (64 * 64 + 64))
    #expect(groups["vision tower"]?.trainable == 0)
  }

  @Test("Each parameter has its reason")
  func reasons() throws {
    let plan = ParameterPlan(of: try trainer(configuration(), on: .cpu), .seeded(.paper))
    let reasons = Dictionary(uniqueKeysWithValues: plan.entries.map { ($0.name, $0.reason) })
    let layer = "language_model.model.layers"
    #expect(reasons["\(layer).0.mamba.in_proj.weight"]?.contains("B from k_proj") == true)
    #expect(reasons["\(layer).2.mamba.out_proj.weight"]?.contains("seeded from dense") == true)
    #expect(reasons["\(layer).0.mamba.A_log"] == "trains: Mamba-2 layer, drawn")
    #expect(reasons["\(layer).1.self_attn.q_proj.weight"] == "frozen: shared with the teacher")
    #expect(reasons["connector._connector.0.weight"]?.hasPrefix("trains: connector") == true)
    #expect(plan.entries.allSatisfy { $0.trains == $0.reason.hasPrefix("trains") })
  }

  @Test("The real sizes, without their weights")
  func real() throws {
    let device = Device(CountingBackend(.processor(threads: 2)))
    let teacher = try VisionLanguageModel.random(ModelSizes(), matrices: .bfloat16, on: device)
    let layers = LayerPlacement.even.layers(ratio: 0.25, of: 32)
    let student = try teacher.student(replacing: layers, .paper, seed: 1)
    let trainer = Trainer(
      distilling: teacher, into: student, DistillationObjective(), configuration(),
      data: try GoldenModels.data())
    let plan = ParameterPlan(of: trainer, .seeded(.paper))
    // SigLIP's last layer, last norm and pooling head, which nothing computes with.
    let uncomputed = 30_480_160
    #expect(plan.teacher == 3_217_417_280 - uncomputed)
    #expect(plan.student == 3_270_747_968 - uncomputed)
    #expect(plan.trainable == 272_635_648)
  }

  @Test("What must be in memory is: parameters, gradients, two moments")
  func memory() throws {
    let memory = MemoryPlan(try count(configuration()), program: 1 << 20, available: 1 << 40)
    let trainable = 2 * mixer + connector
    #expect(memory.trainedWeights == 4 * trainable && memory.moments == 8 * trainable)
    // Those of the layers' losses are there before the whole student runs.
    #expect(memory.gradients >= 8 * mixer && memory.activations > 0 && memory.fits)
    #expect(memory.peak == memory.parts.reduce(0) { $0 + $1.bytes })
    let larger = MemoryPlan(try count(configuration(4)), program: 1 << 20, available: 1 << 40)
    #expect(larger.activations > memory.activations && larger.rows > memory.rows)
  }

  @Test("The same run is counted the same each time", arguments: [false, true])
  func repeatable(recompute: Bool) throws {
    var wanted = configuration(3)
    (wanted.recompute, wanted.gradientAccumulation) = (recompute, 2)
    let counts = try (0..<8).map { _ in try count(wanted) }
    let plans = counts.map { MemoryPlan($0, program: 0, available: 1 << 40) }
    #expect(Set(plans).count == 1, "\(plans.map(\.peak))")
    #expect(Set(counts.map(\.operations)).count == 1)
  }

  @Test("Of several processes each takes its part of an update, and adds gradients up")
  func ranks() throws {
    func plan(_ ranks: Int, _ configuration: TrainingConfiguration) throws -> (RunCount, MemoryPlan)
    {
      let count = try RunCount(configuration, for: .processor, ranks: ranks, samples: 8) {
        try trainer($0, on: $1)
      }
      return (count, MemoryPlan(count, program: 0, available: 1 << 40))
    }
    var accumulating = configuration(4)
    accumulating.gradientAccumulation = 2
    for wanted in [configuration(8), accumulating] {
      let (whole, all) = try plan(1, wanted)
      let (part, each) = try plan(2, wanted)
      let ratio = part.operationsPerUpdate / whole.operationsPerUpdate
      #expect(ratio > 0.4 && ratio < 0.6)
      #expect(each.peak < all.peak && each.trainedWeights == all.trainedWeights)
      #expect(each.moments == all.moments)
    }
    #expect(throws: CommunicatorError.tooManyRanks(3, sequences: 2)) {
      try plan(3, configuration(2))
    }
    let (count, memory) = try plan(2, configuration(8))
    let text = try RunPlan(count, memory, keepingCheckpoints: 2, measuredOn: nil).description
    #expect(text.contains("2; memory, work and time are those of each"))
  }

  @Test("Work grows with the batch; the plan counts what an update does")
  func work() throws {
    let (small, large) = (try count(configuration(2)), try count(configuration(8)))
    let ratio = large.operationsPerUpdate / small.operationsPerUpdate
    #expect(ratio > 3 && ratio < 5)
    let plan = try RunPlan(
      small, MemoryPlan(small, program: 0, available: 1 << 40), keepingCheckpoints: 2,
      measuredOn: .cpu)
    let time = try #require(plan.time)
    #expect(time.secondsPerUpdate > 0 && plan.operations == 10 * plan.operationsPerUpdate)
    #expect(plan.disk.checkpointBytes == 12 * plan.parameters.trainable)
    #expect(plan.disk.checkpoints == 3)
    #expect(plan.description.contains("AdamW's moments"))
  }

  @Test("As given where it fits, with recomputation where only that does, refused otherwise")
  func fitting() throws {
    let wanted = configuration(8)
    func peak(_ configuration: TrainingConfiguration) throws -> Int {
      MemoryPlan(try count(configuration), program: 0, available: 0).peak
    }
    func peak(recomputing batch: Int) throws -> Int {
      var changed = configuration(batch)
      (changed.recompute, changed.gradientAccumulation) = (true, 8 / batch)
      return try peak(changed)
    }
    let (kept, less) = (try peak(wanted), try peak(recomputing: 8))
    #expect(less < kept)
    func fit(_ available: Int) throws -> MemoryPlan {
      try RunPlan.fitting(
        wanted, memory: { MemoryPlan($0, program: 0, available: available) }, count: count
      ).memory
    }
    #expect(try fit(kept).recompute == false)
    #expect(try fit(kept - 1).recompute == true)
    #expect(try fit(less).peak == less)
    // Batches of 4 have other lengths one after the other, and blocks of memory for each are kept.
    #expect(try peak(recomputing: 4) > less && peak(recomputing: 2) < less)
    let error = #expect(throws: PlanError.self) { try fit(less - 1) }
    let suggestion = "what would fit: --recompute --batch-size 2 --gradient-accumulation 4 ("
    #expect(error?.description.contains(suggestion) == true, "\(error as Any)")
    let hopeless = #expect(throws: PlanError.self) { try fit(1000) }
    #expect(hopeless?.description.contains("makes it fit") == true)
  }
}
