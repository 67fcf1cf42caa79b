import Foundation
import MaTVLMDistillation
import MaTVLMMamba
import MaTVLMTensor
import MaTVLMText

/// The time of one update of distillation on random weights and tokens, by one process or several.
public struct DistillationBenchmark: Sendable {
  public struct Result: Sendable, Codable {
    /// The median update, each as long as the slowest rank took.
    public let seconds: Double
    /// Of all ranks together.
    public let tokensPerSecond: Double
    /// Floating-point operations that the update needs, as a plan counts them: products, attention,
    /// scans and what is done to each element, nothing computed a second time.
    public let operations: Double
    /// Which part is reached of the speed at which matrices of weights can be multiplied.
    public let fractionOfLimit: Double
    /// What that is a part of: floating-point operations a second, of all ranks together.
    public let limit: Double
    /// A process's largest resident memory so far, of all ranks the most.
    public let peakMebibytes: Int
    public let ranks: Int
  }

  private let update: Update
  /// Floating-point operations of this rank's part.
  private let operations: Double
  private let rows: Int
  private let ranks: any Communicator

  /// - Parameters:
  ///   - sizes: of the decoder; there are no pictures.
  ///   - every: one layer in so many is replaced.
  ///   - sequences: of an update, of `length` tokens each; each rank packs its part into one batch.
  ///   - ranks: the processes that make the update together, each with a benchmark like this one.
  /// - Throws: ``ConfigurationError`` when the sizes do not fit each other, ``CommunicatorError`` when
  ///   there are more ranks than sequences.
  public init(
    _ sizes: ModelSizes, every: Int, sequences: Int, length: Int, matrices: DType = .float32,
    on device: Device = .cpu, among ranks: any Communicator = OneProcess()
  ) throws {
    guard ranks.size <= sequences else {
      throw CommunicatorError.tooManyRanks(ranks.size, sequences: sequences)
    }
    var generator = RandomGenerator(seed: 3)
    let ids = (0..<sequences).map { _ in
      (0..<length).map { _ in Int(generator.next() % UInt64(sizes.vocabulary)) }
    }
    let part = Array(ids[ranks.share(of: sequences)])
    func update(on device: Device) throws -> Update {
      try Update(sizes, every: every, part, of: sequences, matrices, on: device)
    }
    self.update = try update(on: device)
    let counting = CountingBackend(
      device == .cpu
        ? .processor(threads: Device.processorThreads) : .card(device.backend.activationType))
    let counted = try update(on: Device(counting))
    _ = counting.takeOperations()
    var optimizer = AdamW()
    counted(&optimizer, over: OneProcess())
    operations = counting.takeOperations().operations
    (rows, self.ranks) = (sequences * length, ranks)
  }

  /// Times updates, after one that is not counted.
  public func run(repeats: Int) throws -> Result {
    var optimizer = AdamW()
    let clock = ContinuousClock()
    let times = (0...repeats).map { _ in
      clock.measure { update(&optimizer, over: ranks) } / .seconds(1)
    }
    let all = try ranks.gather { times }
    let slowest = times.indices.map { index in all.map { $0[index] }.max()! }
    let median = slowest.dropFirst().sorted()[repeats / 2]
    let peaks = try ranks.gather { ProcessMemory.peakBytes }
    let operations: Double = try ranks.gather { self.operations }.reduce(0, +)
    let limit = try ranks.gather { 2 * MachineLimits(for: update.teacher).multiplications }
      .reduce(0, +)
    return Result(
      seconds: median, tokensPerSecond: Double(rows) / median, operations: operations,
      fractionOfLimit: operations / limit / median, limit: limit,
      peakMebibytes: peaks.max()! >> 20, ranks: ranks.size)
  }
}

extension DistillationBenchmark {
  /// One rank's part of an update, which can be made again and again.
  private struct Update: Sendable {
    private let task: DistillationTask
    private let batch: Batch
    private let sequences: Int

    var teacher: VisionLanguageModel { task.teacher }

    /// - Parameters:
    ///   - ids: the tokens of this rank's sequences, of so many in all.
    init(
      _ sizes: ModelSizes, every: Int, _ ids: [[Int]], of sequences: Int, _ matrices: DType,
      on device: Device
    ) throws {
      let tokenizer = try BytePairTrainer(vocabularySize: 257).train(on: [])
      let teacher = try VisionLanguageModel.fresh(
        sizes.configuration(), tokenizer: tokenizer, seed: 1, matrices: matrices, on: device)
      let layers = Array(stride(from: 0, to: sizes.layers, by: every))
      let student = try teacher.student(replacing: layers, .paper, seed: 2)
      task = DistillationTask(
        teacher: teacher, student: student, DistillationObjective(), recompute: false,
        hasPictures: false)
      batch = Batch(spliced: teacher.splice(ids), pictures: [], ids: [])
      self.sequences = sequences
    }

    func callAsFunction(_ optimizer: inout AdamW, over ranks: any Communicator) {
      let exchange = GradientExchange(over: ranks)
      var (gradients, _) = task.lossGradients(batch, sequences: sequences, handingTo: exchange)
      gradients.add(over: ranks, task.trained.filter { gradients[$0] != nil })
      gradients += exchange.finish()
      let norm = gradients.norm()
      optimizer.update(
        task.trained, with: gradients, learningRate: 2e-4,
        gradientScale: min(1, 0.1 / (norm + 1e-6)))
    }
  }
}
