import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Synchronization
import Testing

@Suite("An update's gradients, added up over ranks as they come")
struct ExchangedGradientsTests {
  private struct Case: Sendable, CustomTestStringConvertible {
    let testDescription: String
    var objective = DistillationObjective()
    var recompute = false

    init(_ name: String, _ change: (inout Case) -> Void = { _ in }) {
      testDescription = name
      change(&self)
    }
  }

  private static let cases =
    [
      Case("whole student") { $0.objective.labelWeight = 1 },
      Case("recomputed") { $0.recompute = true },
      Case("without layers") { $0.objective.layerWeight = 0 },
    ]
    + DistillationObjective.LayerComparison.allCases.map { comparison in
      Case("layers alone, \(comparison)") {
        ($0.objective.layerComparison, $0.objective.logitWeight) = (comparison, 0)
      }
    }

  @Test(
    "Every trained parameter is handed over once, with the bits that it has otherwise",
    arguments: cases)
  private func complete(_ of: Case) throws {
    let student = try GoldenModels.load("student")
    let task = DistillationTask(
      teacher: try GoldenModels.load("teacher"), student: student, of.objective,
      recompute: of.recompute)
    let batch = try GoldenModels.batch(
      Array(try GoldenCases.read().samples.prefix(3)), for: student)
    let (expected, losses) = task.lossGradients(batch, sequences: 3)
    let count = Mutex(0)
    let exchange = GradientExchange(over: RecordingRanks { _ in count.withLock { $0 += 1 } })
    let (rest, others) = task.lossGradients(batch, sequences: 3, handingTo: exchange)
    let order = exchange.order(among: task.trained)
    let sums = exchange.finish()
    #expect(order.sorted() == Array(task.trained.indices) && count.withLock { $0 } == order.count)
    #expect(losses == others)
    for parameter in task.trained {
      #expect(rest[parameter] == nil)
      let gradient = try #require(sums[parameter])
      #expect(try gradient.array() == #require(expected[parameter]).array(), "\(parameter.name)")
    }
    guard !of.objective.isLayerLocal else { return }
    // The pass goes from the last layer to the first, and to the connector before it.
    let layers = order.map { place -> Int in
      let name = task.trained[place].name
      return name.firstMatch(of: /layers\.(\d+)\./).flatMap { Int($0.1) } ?? -1
    }
    #expect(layers == layers.sorted(by: >) && layers.last == -1)
  }

  private static var configuration: TrainingConfiguration {
    var configuration = TrainingConfiguration()
    (configuration.steps, configuration.warmupSteps, configuration.shuffles) = (3, 1, false)
    (configuration.batchSize, configuration.recompute) = (1, true)
    return configuration
  }

  /// What a rank came to.
  private struct Outcome: Sendable {
    /// Gradients that were handed over, of all updates.
    let handed: Int
    let parameters: [[Float]]
    let names: [String]
  }

  /// Which of the gradients an update hands over.
  private enum Handed {
    case all, mixers, none

    func count(of names: [String]) -> Int {
      switch self {
      case .all: names.count
      case .mixers: names.count { $0.contains(".mamba.") }
      case .none: 0
      }
    }
  }

  @Test(
    "Only an update's last batches hand over, where ranks have batches of one kind",
    arguments: [
      ("pictures", [0, 1, 3, 4], .all), ("text", [2, 7], .mixers),
      ("text at the end", [0, 1, 2, 7], .mixers), ("a picture on one rank", [0, 1, 3, 2], .none),
      ("a batch on one rank", [0, 1, 3], .none),
    ] as [(String, [Int], Handed)])
  private func rounds(_ name: String, _ samples: [Int], _ expected: Handed) throws {
    let results = ThreadRanks.run(2) { ranks in
      var configuration = Self.configuration
      configuration.gradientAccumulation = samples.count
      let handed = Mutex(0)
      var run = try GoldenRun(configuration, data: GoldenSamples(samples))
      try run.join(RecordingRanks(ranks) { _ in handed.withLock { $0 += 1 } })
      try run.run()
      let trained = run.trainer.trainedParameters
      return Outcome(
        handed: handed.withLock { $0 }, parameters: trained.map { $0.value.array() },
        names: trained.map(\.name))
    }
    let outcomes = try results.map { try $0.get() }
    for outcome in outcomes {
      #expect(outcome.handed == 3 * expected.count(of: outcome.names), "\(name)")
      #expect(outcome.parameters == outcomes[0].parameters)
    }
  }

  @Test("A rank with other gradients than the rest stops all, before anything is changed")
  func disagreement() throws {
    let results = ThreadRanks.run(2) { ranks in
      let task = SilentTask(
        task: DistillationTask(
          teacher: try GoldenModels.load("teacher"), student: try GoldenModels.load("student"),
          DistillationObjective(), recompute: false), isSilent: ranks.rank == 1)
      var configuration = Self.configuration
      configuration.batchSize = 2
      var trainer = Trainer(
        task, configuration, data: try GoldenSamples([0, 1]), heldOut: nil)
      _ = try trainer.join(ranks)
      try trainer.run { _ in }
    }
    for result in results {
      let error = #expect(throws: CommunicatorError.self) { try result.get() }
      #expect(error?.description.contains("rank 1 does not agree with rank 0: its grad") == true)
    }
  }
}

/// Distillation that may keep its gradients for itself.
private struct SilentTask: TrainingTask {
  let task: DistillationTask
  let isSilent: Bool

  var student: VisionLanguageModel { task.student }
  var models: [(name: String, model: VisionLanguageModel)] { task.models }
  var trained: [Parameter] { task.trained }
  var objective: DistillationObjective { task.objective }
  func lossGradients(
    _ batch: Batch, sequences: Int, handingTo exchange: GradientExchange?
  ) -> (Gradients, LossSums) {
    task.lossGradients(batch, sequences: sequences, handingTo: isSilent ? nil : exchange)
  }
  func losses(_ batch: Batch) -> LossSums { task.losses(batch) }
}
