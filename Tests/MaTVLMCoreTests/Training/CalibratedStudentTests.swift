import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Synchronization
import Testing

@Suite("Students calibrated on training data")
struct CalibratedStudentTests {
  /// Golden samples that remember which were asked for.
  private final class AskedSamples: TrainingData {
    private let samples: GoldenSamples
    private let numbers = Mutex([Int]())
    var count: Int { samples.count }
    var identity: String { samples.identity }
    var asked: [Int] { numbers.withLock { $0 } }

    init(_ samples: GoldenSamples) { self.samples = samples }

    func sample(_ index: Int) throws -> TrainingSample {
      numbers.withLock { $0.append(index) }
      return try samples.sample(index)
    }
  }

  private static func calibration(samples: Int = 8, passes: Int = 2) -> Calibration {
    var calibration = Calibration()
    (calibration.samples, calibration.mixers.passes) = (samples, passes)
    return calibration
  }

  /// The layer loss of the first update over all golden samples.
  private func layerLoss(_ student: VisionLanguageModel, _ teacher: VisionLanguageModel) throws
    -> Double
  {
    var configuration = TrainingConfiguration()
    (configuration.batchSize, configuration.warmupSteps) = (8, 1)
    var trainer = Trainer(
      distilling: teacher, into: student, .init(), configuration, data: try GoldenModels.data())
    var loss = Double.nan
    try trainer.run { if case .update(let update) = $0 { loss = update.losses.layer } }
    return loss
  }

  @Test("on the golden layers the residual is below the paper's, and so is the loss of training")
  func residuals() throws {
    let teacher = try GoldenModels.load("teacher")
    var layers: [Int] = []
    let student = try teacher.student(
      replacing: [3, 0, 1], calibratedOn: try GoldenModels.data(), Self.calibration(passes: 8),
      seed: 3
    ) { event in
      guard case .layer(let layer, let residuals) = event else { return }
      layers.append(layer)
      #expect(residuals.solved < residuals.seeded, "\(layer): \(residuals)")
      #expect(residuals.calibrated <= residuals.solved, "\(layer): \(residuals)")
    }
    #expect(layers == [0, 1, 3] && student.decoder.mambaLayers == [0, 1, 3])
    #expect(student.configuration.mamba?.layers == [0, 1, 3])
    let paper = try teacher.student(replacing: [0, 1, 3], .paper, seed: 3)
    #expect(try layerLoss(student, teacher) < layerLoss(paper, teacher))
  }

  @Test("samples are drawn by the seed, each once, as many as asked for")
  func drawn() throws {
    let teacher = try GoldenModels.load("teacher")
    func asked(_ count: Int, seed: UInt64) throws -> [Int] {
      let data = AskedSamples(try GoldenSamples(Array(0..<8) + Array(0..<8)))
      _ = try teacher.student(
        replacing: [2], calibratedOn: data, Self.calibration(samples: count, passes: 0), seed: seed)
      return data.asked
    }
    let six = try asked(6, seed: 1)
    #expect(six.count == 6 && Set(six).count == 6)
    #expect(try asked(6, seed: 1) == six)
    #expect(try asked(6, seed: 2) != six)
    #expect(try asked(100, seed: 1).sorted() == Array(0..<16))
  }

  @Test("no more samples are taken once they have rows enough")
  func rows() throws {
    let teacher = try GoldenModels.load("teacher")
    func asked(rows: Int) throws -> Int {
      let data = AskedSamples(try GoldenSamples(Array(0..<8)))
      var calibration = Self.calibration(passes: 0)
      calibration.rows = rows
      _ = try teacher.student(replacing: [2], calibratedOn: data, calibration, seed: 1)
      return data.asked.count
    }
    // All of them have 476.
    #expect(try asked(rows: 476) == 8)
    let some = try asked(rows: 200)
    #expect(some >= 2 && some < 8)
    #expect(throws: CalibrationError.tooFewSamples(usable: 1)) { try asked(rows: 1) }
  }

  @Test("the same seed gives the same student, and the teacher stays as it was")
  func repeatable() throws {
    let teacher = try GoldenModels.load("teacher")
    let before = teacher.parameters.map { $0.value.array() }
    func bits() throws -> [[UInt32]] {
      try teacher.student(
        replacing: [1, 2], calibratedOn: try GoldenModels.data(), Self.calibration(), seed: 4
      ).distilledParameters.map { $0.value.array().map(\.bitPattern) }
    }
    #expect(try bits() == bits())
    #expect(teacher.parameters.map { $0.value.array() } == before)
    #expect(teacher.parameters.allSatisfy { !$0.isTrainable })
  }

  @Test("broken samples stop a calibration or are replaced by others")
  func broken() throws {
    let teacher = try GoldenModels.load("teacher")
    let data = try GoldenSamples(Array(0..<8), broken: [2, 5])
    #expect(throws: SampleError.self) {
      try teacher.student(replacing: [0], calibratedOn: data, Self.calibration(), seed: 1)
    }
    var calibration = Self.calibration(passes: 0)
    calibration.brokenSamples = .skip
    var skipped: Set<String> = []
    _ = try teacher.student(replacing: [0], calibratedOn: data, calibration, seed: 1) {
      if case .skipped(let error) = $0 { skipped.insert(error.id) }
    }
    #expect(skipped == ["bad 2", "bad 5"])
    let alone = try GoldenSamples([0, 1, 2], broken: [1, 2])
    #expect(throws: CalibrationError.tooFewSamples(usable: 1)) {
      try teacher.student(replacing: [0], calibratedOn: alone, calibration, seed: 1)
    }
  }

  @Test("a layer that cannot be solved for is named")
  func unsolvable() throws {
    let teacher = try GoldenModels.load("teacher")
    guard case .attention(let attention) = teacher.decoder.blocks[2].mixer else {
      Issue.record("layer 2 has no attention")
      return
    }
    attention.output.bias?.assign(Tensor(Array(repeating: .nan, count: 64), [64]))
    #expect {
      try teacher.student(
        replacing: [1, 2], calibratedOn: try GoldenModels.data(), Self.calibration(), seed: 1)
    } throws: {
      "\($0)".contains("layer 2")
    }
  }
}
