import Dispatch
import Synchronization

/// A batch, or why there is none, and the samples that could not be in it.
struct PreparedBatch: Sendable {
  let batch: Result<Batch, any Error>
  let skipped: [SampleError]
  /// The numbers of the batch's samples.
  let indices: [Int]
  /// Where the next batch begins.
  let end: SamplePosition
}

/// Reads, decodes and tokenises the next batch on other threads while the model works on this one.
/// The order of samples, and with it the result, is the same as without.
final class BatchLoader: Sendable {
  private struct State: Sendable {
    var order: SampleOrder
    /// Batches not yet begun.
    var remaining: Int
    /// Broken samples since the last usable one.
    var broken: Int
    var ready: PreparedBatch?
  }

  private let data: any TrainingData
  private let model: VisionLanguageModel
  private let size: Int
  private let maximumLength: Int?
  private let policy: BrokenSamplePolicy
  private let state: Mutex<State>
  private let queue = DispatchQueue(label: "MaTVLM batches")
  private let isReady = DispatchSemaphore(value: 0)

  /// - Parameters:
  ///   - size: sequences of a batch.
  ///   - count: batches that will be asked for.
  ///   - broken: broken samples before the first one in `order`.
  init(
    _ data: any TrainingData, for model: VisionLanguageModel, size: Int, maximumLength: Int?,
    count: Int,
    order: SampleOrder, broken: Int, _ policy: BrokenSamplePolicy
  ) {
    (self.data, self.model, self.size, self.policy) = (data, model, size, policy)
    self.maximumLength = maximumLength
    state = Mutex(State(order: order, remaining: count, broken: broken))
    begin()
  }

  /// The next batch; ``SampleError`` in its place when a broken sample is to stop the run,
  /// ``DatasetError`` when no sample can be used.
  func next() -> PreparedBatch {
    isReady.wait()
    let prepared = state.withLock { state in
      defer { state.ready = nil }
      return state.ready
    }
    begin()
    guard let prepared else {
      fatalError("BatchLoader: more batches were asked for than announced")
    }
    return prepared
  }

  private func begin() {
    let goesOn = state.withLock { state in
      state.remaining -= 1
      return state.remaining >= 0
    }
    guard goesOn else {
      isReady.signal()
      return
    }
    queue.async { [self] in
      var skipped: [SampleError] = []
      var indices: [Int] = []
      let batch = Result { try prepare(&indices, &skipped) }
      state.withLock { state in
        state.ready = PreparedBatch(
          batch: batch, skipped: skipped, indices: indices,
          end: SamplePosition(visits: state.order.visits, broken: state.broken))
      }
      isReady.signal()
    }
  }

  private func prepare(_ indices: inout [Int], _ skipped: inout [SampleError]) throws -> Batch {
    var examples: [TrainingExample] = []
    while examples.count < size {
      for (index, result) in read(size - examples.count) {
        switch result {
        case .success(let example):
          examples.append(example)
          indices.append(index)
          state.withLock { $0.broken = 0 }
        case .failure(let error): try skip(error, &skipped)
        }
      }
    }
    return Batch(examples, for: model, maximumLength: maximumLength)
  }

  /// The next `count` samples, in order.
  private func read(_ count: Int) -> [(Int, Result<TrainingExample, any Error>)] {
    let indices = state.withLock { state in (0..<count).map { _ in state.order.next() } }
    let results = Mutex([Result<TrainingExample, any Error>?](repeating: nil, count: count))
    DispatchQueue.concurrentPerform(iterations: count) { position in
      let result = Result {
        try TrainingExample(data.sample(indices[position]), for: model)
      }
      results.withLock { $0[position] = result }
    }
    return Array(zip(indices, results.withLock { $0.compactMap { $0 } }))
  }

  private func skip(_ error: any Error, _ skipped: inout [SampleError]) throws {
    guard let error = error as? SampleError, policy == .skip else { throw error }
    skipped.append(error)
    let broken = state.withLock { state in
      state.broken += 1
      return state.broken
    }
    guard broken < data.count else { throw DatasetError.noUsableSample(samples: data.count) }
  }
}
