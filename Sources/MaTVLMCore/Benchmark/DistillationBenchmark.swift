import Foundation
import MaTVLMDistillation
import MaTVLMMamba
import MaTVLMTensor
import MaTVLMText

/// The time of one update of distillation on random weights and tokens.
public struct DistillationBenchmark: Sendable {
  public struct Result: Sendable, Codable {
    /// The median update.
    public let seconds: Double
    public let tokensPerSecond: Double
    /// The process's largest resident memory so far.
    public let peakMebibytes: Int
  }

  private let task: DistillationTask
  private let batch: Batch

  /// - Parameters:
  ///   - sizes: of the decoder; there are no pictures.
  ///   - every: one layer in so many is replaced.
  ///   - sequences: of `length` tokens each, packed into one batch.
  /// - Throws: ``ConfigurationError`` when the sizes do not fit each other.
  public init(
    _ sizes: ModelSizes, every: Int, sequences: Int, length: Int, matrices: DType = .float32,
    on device: Device = .cpu
  ) throws {
    let tokenizer = try BytePairTrainer(vocabularySize: 257).train(on: [])
    let teacher = try VisionLanguageModel.fresh(
      sizes.configuration(), tokenizer: tokenizer, seed: 1, matrices: matrices, on: device)
    let layers = Array(stride(from: 0, to: sizes.layers, by: every))
    let student = try teacher.student(replacing: layers, .paper, seed: 2)
    task = DistillationTask(
      teacher: teacher, student: student, DistillationObjective(), recompute: false)
    var generator = RandomGenerator(seed: 3)
    let ids = (0..<sequences).map { _ in
      (0..<length).map { _ in Int(generator.next() % UInt64(sizes.vocabulary)) }
    }
    batch = Batch(tokens: ids, for: teacher)
  }

  /// Times updates, after one that is not counted.
  public func run(repeats: Int) -> Result {
    var optimizer = AdamW()
    let clock = ContinuousClock()
    let times = (0...repeats).map { _ in
      clock.measure {
        let (gradients, _) = task.lossGradients(batch, sequences: batch.spliced.segments.count)
        let norm = gradients.norm()
        optimizer.update(
          task.trained, with: gradients, learningRate: 2e-4,
          gradientScale: min(1, 0.1 / (norm + 1e-6)))
      } / .seconds(1)
    }
    let median = times.dropFirst().sorted()[repeats / 2]
    return Result(
      seconds: median, tokensPerSecond: Double(batch.spliced.segments.rows) / median,
      peakMebibytes: ProcessMemory.peakBytes >> 20)
  }
}

extension Batch {
  /// Sequences of text without labels.
  fileprivate init(tokens: [[Int]], for model: VisionLanguageModel) {
    self.init(spliced: model.splice(tokens), pictures: [], ids: [])
  }
}
