import Foundation
import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Synchronization
import Testing

@Suite("Runs of several ranks")
struct RanksTests {
  private static func configuration(
    _ change: (inout TrainingConfiguration) -> Void = { _ in }
  ) -> TrainingConfiguration {
    var configuration = TrainingConfiguration()
    (configuration.steps, configuration.warmupSteps) = (20, 4)
    (configuration.batchSize, configuration.gradientAccumulation) = (2, 3)
    change(&configuration)
    return configuration
  }

  /// What a rank came to.
  private struct Outcome: Sendable {
    let run: GoldenRun
    let losses: [Double]
    let parameters: [Float]

    init(_ run: GoldenRun) {
      self.run = run
      losses = run.updates.map(\.loss)
      parameters = run.trainer.trainedParameters.flatMap { $0.value.array() }
    }
  }

  private static func run(
    _ size: Int, _ configuration: TrainingConfiguration, broken: Set<Int> = [],
    prepare: @escaping @Sendable (VisionLanguageModel, _ rank: Int) -> Void = { _, _ in }
  ) -> [Result<Outcome, any Error>] {
    ThreadRanks.run(size) { ranks in
      var run = try GoldenRun(
        configuration, data: GoldenSamples(Array(0..<8), broken: broken),
        heldOut: GoldenSamples([1, 2, 3, 4, 5])
      ) { prepare($0, ranks.rank) }
      try run.join(ranks)
      try run.run()
      return Outcome(run)
    }
  }

  /// ‖a − b‖ / ‖b‖
  private static func distance(_ a: [Float], _ b: [Float]) -> Double {
    let squares = zip(a, b).reduce(0) { $0 + pow(Double($1.0) - Double($1.1), 2) }
    return (squares / b.reduce(0) { $0 + pow(Double($1), 2) }).squareRoot()
  }

  @Test("After 20 updates, any number of ranks has the losses and the parameters of one")
  func equality() throws {
    let configuration = Self.configuration { $0.evaluationInterval = 10 }
    let one = try Self.run(1, configuration)[0].get()
    for size in [2, 3, 4, 6] {
      let ranks = try Self.run(size, configuration).map { try $0.get() }
      for rank in ranks {
        #expect(rank.parameters == ranks[0].parameters, "ranks have the same bits")
        #expect(rank.run.evaluations.map(\.losses) == ranks[0].run.evaluations.map(\.losses))
      }
      // Float32 sums in another order; AdamW makes large what is small in a gradient near zero.
      #expect(Self.distance(ranks[0].parameters, one.parameters) < 1e-6, "\(size) ranks")
      for (loss, expected) in zip(ranks[0].losses, one.losses) {
        #expect(abs(loss - expected) <= 1e-6 * expected, "\(size) ranks")
      }
      #expect(ranks[0].run.updates.map(\.rows) == one.run.updates.map(\.rows))
      let held = zip(ranks[0].run.evaluations, one.run.evaluations)
      #expect(held.allSatisfy { abs($0.losses.kl! - $1.losses.kl!) <= 1e-6 * $1.losses.kl! })
      let again = try Self.run(size, configuration)[0].get()
      #expect(again.parameters == ranks[0].parameters, "a repetition has the same bits")
    }
  }

  @Test("A batch for each rank: the bits of one process that adds the batches up")
  func bits() throws {
    let configuration = Self.configuration { $0.steps = 5 }
    let one = try Self.run(1, configuration)[0].get()
    #expect(try Self.run(3, configuration)[2].get().parameters == one.parameters)
  }

  @Test("Broken samples are replaced by the same ones, and reported by rank 0", arguments: [2, 4])
  func broken(_ size: Int) throws {
    let configuration = Self.configuration {
      ($0.brokenSamples, $0.shuffles, $0.steps) = (.skip, false, 4)
    }
    let one = try Self.run(1, configuration, broken: [0, 3, 4])[0].get()
    let ranks = try Self.run(size, configuration, broken: [0, 3, 4])[0].get()
    let (position, expected) = (ranks.run.trainer.position, one.run.trainer.position)
    #expect(position.step == expected.step && position.samples == expected.samples)
    #expect(ranks.run.skipped.map(\.id).sorted() == one.run.skipped.map(\.id).sorted())
    #expect(ranks.run.updates.map(\.rows) == one.run.updates.map(\.rows))
  }

  @Test("A sample that stops one rank stops all, and so does data without a usable sample")
  func stopped() throws {
    for result in Self.run(3, Self.configuration(), broken: [5]) {
      let error = #expect(throws: (any Error).self) { try result.get() }
      #expect("\(error!)".contains("bad 5"))
    }
    let skipping = Self.configuration { $0.brokenSamples = .skip }
    for result in Self.run(3, skipping, broken: Set(0..<8)) {
      #expect(throws: DatasetError.noUsableSample(samples: 8)) { try result.get() }
    }
  }

  @Test("Ranks of other weights or another configuration are refused before the first update")
  func disagreement() throws {
    let results = Self.run(3, Self.configuration()) { student, rank in
      guard rank == 2 else { return }
      let weight = student.connector.parameters[0]
      weight.assign(Tensor(weight.value.array().map { $0 + 1 }, weight.shape))
    }
    for result in results {
      let error = #expect(throws: CommunicatorError.self) { try result.get() }
      #expect("\(error!)".contains("rank 2 does not agree with rank 0: parameters at the start"))
    }
    let others = ThreadRanks.run(2) { ranks in
      var run = try GoldenRun(Self.configuration { $0.recompute = ranks.rank == 1 })
      try run.join(ranks)
    }
    for result in others {
      let error = #expect(throws: CommunicatorError.self) { try result.get() }
      #expect("\(error!)".contains("recompute is true there, and false here"))
    }
    for result in Self.run(7, Self.configuration()) {
      #expect(throws: CommunicatorError.tooManyRanks(7, sequences: 6)) { try result.get() }
    }
  }

  @Test("Numbers that are not finite stop all ranks with one error that names the sample")
  func notFinite() throws {
    let results = Self.run(2, Self.configuration { $0.learningRate = 1 }) { student, _ in
      let weight = student.connector.parameters[0]
      weight.assign(Tensor(Array(repeating: .nan, count: weight.shape.count), weight.shape))
    }
    for result in results {
      let error = #expect(throws: TrainingError.self) { try result.get() }
      guard case .notFinite(1, let samples, "connector._connector.0.weight") = error else {
        Issue.record("\(error!)")
        continue
      }
      #expect(!samples.isEmpty)
    }
  }

  @Test("A run goes on with another number of ranks")
  func resumed() throws {
    let folder = try TemporaryFolder()
    let series = CheckpointSeries(folder["checkpoints"], keeping: 1)
    let configuration = Self.configuration()
    let one = try Self.run(1, configuration)[0].get()
    let first = ThreadRanks.run(2) { ranks in
      var run = try GoldenRun(configuration, data: GoldenSamples(Array(0..<8)))
      try run.join(ranks)
      try run.advance(7)
      try run.trainer.checkAgreement()
      if ranks.rank == 0 { try series.save(run.trainer, logs: [:]) }
    }
    for result in first { try result.get() }
    let second = ThreadRanks.run(3) { ranks in
      var run = try GoldenRun(configuration, data: GoldenSamples(Array(0..<8)))
      try run.join(ranks)
      if ranks.rank == 0 { _ = try run.restore(from: series) }
      try run.takePlaceOfFirstRank()
      try run.run()
      return Outcome(run)
    }
    for result in second {
      let outcome = try result.get()
      #expect(outcome.run.updates.map(\.step) == Array(8...20))
      #expect(Self.distance(outcome.parameters, one.parameters) < 1e-6)
    }
  }
}
