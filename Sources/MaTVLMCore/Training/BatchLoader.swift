import Dispatch
import MaTVLMTensor
import Synchronization

/// A rank's part of a round, or why there is none, and the samples that could not be in it.
struct PreparedBatch: Sendable {
  /// nil where an update's last round has fewer sequences than there are ranks.
  let batch: Result<Batch?, any Error>
  /// Those of all ranks.
  let skipped: [SampleError]
  /// The numbers of the batch's samples.
  let indices: [Int]
  /// Where the next round begins.
  let end: SamplePosition
}

/// How an update's sequences are cut into rounds, in each of which every rank takes a batch.
struct UpdateRounds: Sendable {
  private let sequences: Int
  private let size: Int

  /// - Parameters:
  ///   - sequences: of an update.
  ///   - batchSize: sequences of a batch at most.
  init(sequences: Int, batchSize: Int, ranks: Int) {
    (self.sequences, size) = (sequences, batchSize * ranks)
  }

  var count: Int { (sequences + size - 1) / size }

  /// Sequences of a round of all ranks together.
  func sequences(in round: Int) -> Int { min(size, sequences - round % count * size) }
}

/// Reads, decodes and tokenises the next batch on other threads while the model works on this one.
/// The order of samples, and with it the result, is the same as without; and which samples an update
/// has is the same for any number of ranks.
final class BatchLoader: Sendable {
  private struct State: Sendable {
    var order: SampleOrder
    var round = 0
    /// Broken samples since the last usable one.
    var broken: Int
    var read: [Reading] = []
    /// What became of `read`, where no other rank is to be asked.
    var prepared: PreparedBatch?
  }

  /// A sample by its number, or why it cannot be used.
  private typealias Reading = (index: Int, result: Result<TrainingExample, any Error>)

  private let data: any TrainingData
  private let model: VisionLanguageModel
  private let rounds: UpdateRounds
  private let ranks: any Communicator
  private let maximumLength: Int?
  private let count: Int
  private let policy: BrokenSamplePolicy
  private let state: Mutex<State>
  private let queue = DispatchQueue(label: "MaTVLM batches")
  private let isReady = DispatchSemaphore(value: 0)

  /// - Parameters:
  ///   - updates: that batches will be asked for.
  ///   - broken: broken samples before the first one in `order`.
  init(
    _ data: any TrainingData, for model: VisionLanguageModel, _ rounds: UpdateRounds,
    updates: Int, maximumLength: Int?, order: SampleOrder, broken: Int,
    _ policy: BrokenSamplePolicy, among ranks: any Communicator
  ) {
    (self.data, self.model, self.rounds, self.policy) = (data, model, rounds, policy)
    (self.ranks, self.maximumLength, count) = (ranks, maximumLength, updates * rounds.count)
    state = Mutex(State(order: order, broken: broken))
    begin()
  }

  /// This rank's batch of the next round; ``SampleError`` in its place when a broken sample is to stop
  /// the run, ``DatasetError`` when no sample can be used.
  func next() -> PreparedBatch {
    isReady.wait()
    let prepared = state.withLock { state in
      require(state.round < count, "BatchLoader: more batches were asked for than announced")
      defer { state.prepared = nil }
      return state.prepared
    }
    let batch = prepared ?? prepare()
    state.withLock { $0.round += 1 }
    begin()
    return batch
  }

  /// Reads this rank's part of the next round. What broken samples make necessary is decided with the
  /// other ranks, by the thread that speaks with them.
  private func begin() {
    let round = state.withLock(\.round)
    guard round < count else {
      isReady.signal()
      return
    }
    queue.async { [self] in
      let part = ranks.share(of: rounds.sequences(in: round))
      let readings = read(part.lowerBound, part.count)
      state.withLock { $0.read = readings }
      if ranks.size == 1 {
        let batch = prepare()
        state.withLock { $0.prepared = batch }
      }
      isReady.signal()
    }
  }

  private func prepare() -> PreparedBatch {
    var skipped: [SampleError] = []
    var indices: [Int] = []
    let batch = Result { try fill(&indices, &skipped) }
    let end = state.withLock { SamplePosition(visits: $0.order.visits, broken: $0.broken) }
    return PreparedBatch(batch: batch, skipped: skipped, indices: indices, end: end)
  }

  /// Each broken sample of a round is replaced by the next one behind it, until none is missing: the
  /// rank that lacks one reads it.
  private func fill(_ indices: inout [Int], _ skipped: inout [SampleError]) throws -> Batch? {
    var (readings, tried) = state.withLock { ($0.read, rounds.sequences(in: $0.round)) }
    var examples: [TrainingExample] = []
    while true {
      let broken = try ranks.gather { try take(readings, &examples, &indices) }
      let all = broken.flatMap(\.self)
      skipped += all
      let consecutive = state.withLock { state in
        state.order.skip(tried)
        state.broken = all.count == tried ? state.broken + tried : 0
        return state.broken
      }
      if all.isEmpty { break }
      guard consecutive < data.count else { throw DatasetError.noUsableSample(samples: data.count) }
      tried = all.count
      readings = read(
        broken.prefix(ranks.rank).reduce(0) { $0 + $1.count }, broken[ranks.rank].count)
    }
    return examples.isEmpty ? nil : Batch(examples, for: model, maximumLength: maximumLength)
  }

  /// Takes what can be used.
  /// - Returns: what is broken.
  private func take(
    _ readings: [Reading], _ examples: inout [TrainingExample], _ indices: inout [Int]
  ) throws -> [SampleError] {
    var broken: [SampleError] = []
    for (index, result) in readings {
      switch result {
      case .success(let example):
        examples.append(example)
        indices.append(index)
      case .failure(let error as SampleError) where policy == .skip: broken.append(error)
      case .failure(let error): throw error
      }
    }
    return broken
  }

  /// `count` samples in order, from so many visits behind the present one.
  private func read(_ start: Int, _ count: Int) -> [Reading] {
    let indices = state.withLock { state in
      (0..<count).map { state.order.sample(at: state.order.visits + start + $0) }
    }
    let results = Mutex([Result<TrainingExample, any Error>?](repeating: nil, count: count))
    DispatchQueue.concurrentPerform(iterations: count) { position in
      let result = Result {
        try TrainingExample(data.sample(indices[position]), for: model)
      }
      results.withLock { $0[position] = result }
    }
    return Array(zip(indices, results.withLock { $0.compactMap { $0 } }))
  }
}
