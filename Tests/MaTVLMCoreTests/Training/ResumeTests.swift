import Foundation
import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Runs that go on from a checkpoint")
struct ResumeTests {
  private let folder: TemporaryFolder
  private var series: CheckpointSeries { CheckpointSeries(folder["checkpoints"], keeping: 2) }

  init() throws { folder = try TemporaryFolder() }

  private func run(
    steps: Int = 6, evaluating: Int? = nil,
    _ change: (inout TrainingConfiguration) -> Void = { _ in }
  ) throws -> GoldenRun {
    var configuration = TrainingConfiguration()
    (configuration.steps, configuration.batchSize) = (steps, 2)
    (configuration.gradientAccumulation, configuration.learningRate) = (2, 2e-3)
    (configuration.warmupSteps, configuration.decaySteps) = (1, 3)
    configuration.evaluationInterval = evaluating
    change(&configuration)
    return try GoldenRun(configuration, heldOut: evaluating.map { _ in try GoldenModels.data() })
  }

  @Test(
    "After any update: losses and bits are those of the run that never stopped", arguments: 1...5)
  func everywhere(_ stop: Int) throws {
    var whole = try run()
    try whole.run()
    var first = try run()
    try first.advance(stop)
    try series.save(first.trainer, logs: ["log.jsonl": stop])
    var second = try run()
    let logs = try second.restore(from: series)
    #expect(logs == ["log.jsonl": stop])
    #expect(second.trainer.position == first.trainer.position)
    try second.run()
    #expect(second.bits == whole.bits)
    let updates = first.updates + second.updates
    #expect(updates.map(\.losses) == whole.updates.map(\.losses))
    #expect(updates.map(\.gradientNorm) == whole.updates.map(\.gradientNorm))
    #expect(updates.map(\.learningRate) == whole.updates.map(\.learningRate))
  }

  @Test(
    "Whichever file is cut, changed or gone: the checkpoint before is used, and the error names it")
  func damaged() throws {
    let names = ["parameters.safetensors", "moments.safetensors", "state.json", "manifest.json"]
    var run = try run()
    try run.advance(1)
    try series.save(run.trainer, logs: [:])
    let before = run.bits
    try run.advance(1)
    try series.save(run.trainer, logs: [:])
    for name in names {
      let place = folder["checkpoints/step-000000002/\(name)"]
      let content = try Data(contentsOf: place)
      var flipped = content
      flipped[content.count / 2] ^= 1
      for damage in [content.dropLast(1), flipped, Data(), nil] {
        try damage?.write(to: place)
        if damage == nil { try FileManager.default.removeItem(at: place) }
        var other = try self.run()
        var errors: [String] = []
        _ = try other.restore(from: series) { errors.append("\($0)") }
        #expect(other.trainer.position.step == 1 && other.bits == before, "\(name)")
        #expect(errors.count == 1 && errors[0].contains("step-000000002/"), "\(errors)")
      }
      try content.write(to: place)
    }
  }

  @Test("With one kept, a damaged newer one does not cost the good ones")
  func damagedStays() throws {
    let one = CheckpointSeries(folder["checkpoints"], keeping: 1)
    var run = try run()
    for _ in 0..<3 { try run.advance(1) }
    try series.save(run.trainer, logs: [:])
    let file = folder["checkpoints/step-000000003/state.json"]
    try Data("{}".utf8).write(to: file)
    var again = try self.run()
    try again.advance(2)
    try one.save(again.trainer, logs: [:])
    var last = try self.run()
    var errors = 0
    _ = try last.restore(from: one) { _ in errors += 1 }
    #expect(errors == 1 && last.trainer.position.step == 2)
  }

  @Test(
    "A state that no run can have is refused, although its checksum holds",
    arguments: [("\"step\" : 1", "\"step\" : -1"), ("\"visits\" : 4", "\"visits\" : -4")])
  func impossible(_ old: String, _ new: String) throws {
    var run = try run()
    try run.advance(1)
    try series.save(run.trainer, logs: [:])
    let place = folder["checkpoints/step-000000001"]
    let text = try String(contentsOf: place.appending(path: "state.json"), encoding: .utf8)
    try #require(text.contains(old), "\(text)")
    try Data(text.replacing(old, with: new).utf8).write(to: place.appending(path: "state.json"))
    try FileManager.default.removeItem(at: place.appending(path: "manifest.json"))
    try FolderManifest.write(in: place)
    var other = try self.run()
    #expect(throws: CheckpointError.self) { _ = try other.restore(from: series) }
    #expect(other.trainer.position.step == 0)
  }

  @Test("A checkpoint of another model changes nothing")
  func otherModel() throws {
    var run = try run()
    try run.advance(1)
    try series.save(run.trainer, logs: [:])
    var trainer = Trainer(
      pretraining: try GoldenModels.load("teacher"), TrainingConfiguration(),
      data: try GoldenModels.data())
    let before = trainer.trainedParameters.map { $0.value.array() }
    #expect(throws: CheckpointError.self) {
      _ = try series.restoreNewest(into: &trainer) { _ in }
    }
    #expect(trainer.trainedParameters.map { $0.value.array() } == before)
    #expect(trainer.position.step == 0)
  }

  @Test("The newest and the best stay; what a killed program left is cleared away")
  func retention() throws {
    var run = try run(steps: 8, evaluating: 1) {
      ($0.warmupSteps, $0.decaySteps, $0.learningRate) = (0, 0, 1)
    }
    for _ in 0..<8 {
      try run.advance(1)
      try series.save(run.trainer, logs: [:])
    }
    let best = try #require(run.trainer.position.best?.step)
    #expect(best < 7, "the rate was to spoil the model: \(best)")
    #expect(series.steps == [best, 7, 8])
    try folder.write("checkpoints/.partial-1234/moments.safetensors", Data([1]))
    var other = try self.run(steps: 8, evaluating: 1)
    _ = try other.restore(from: series)
    #expect(try folder.content.filter { $0.contains("partial") } == [])
  }

  @Test("What a run is does not depend on how it computes, only on what")
  func identity() throws {
    let identity = try run().trainer.identity()
    #expect(try run { $0.recompute = true }.trainer.identity() == identity)
    let other = try run { $0.seed = 43 }.trainer.identity()
    #expect(other.difference(from: identity) == "seed was 42 and is now 43")
    #expect(identity.facts["teacher/config.json"]?.contains("bytes, crc32c") == true)
  }
}
