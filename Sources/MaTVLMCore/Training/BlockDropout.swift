import Dispatch
import MaTVLMTensor

/// Dropout of what a block's mixer and MLP add to the stream: `resid_pdrop` of Phi, which in the
/// authors' code acts in the student while it learns (specification B.1, B.6).
///
/// What is dropped is a function of the seed, the update, the sample, and the place in the student
/// and the sequence. A run that goes on needs nothing to be kept for it, and neither batches nor
/// threads play a part.
package struct BlockDropout: Sendable {
  /// Which numbers of a layer. The authors run each layer twice, on the student's stream and on the
  /// teacher's, and drop anew.
  package enum Branch: UInt64, Sendable, CaseIterable {
    case mixer, mlp, taughtMixer, taughtMLP
  }

  private let rate: Double
  /// One for each sequence.
  private let generators: [RandomGenerator]

  /// - Parameters:
  ///   - rate: the probability of each number, below 1; nothing is made for 0.
  ///   - samples: the number of each sequence's sample in the data.
  package init?(rate: Float, seed: UInt64, step: Int, samples: [Int]) {
    guard rate > 0 else { return nil }
    self.rate = Double(rate)
    let update = RandomGenerator(seed: seed).split(UInt64(step))
    generators = samples.map { update.split(UInt64($0)) }
  }

  /// x [T, D] with each number either 0 or divided by 1 − rate.
  package func callAsFunction(_ x: Tensor, _ branch: Branch, layer: Int, _ segments: Segments)
    -> Tensor
  {
    require(
      segments.count == generators.count,
      "dropout: \(segments.count) sequences of \(generators.count) samples")
    let mask = Tensor(mask(x.shape.width, branch, layer, segments), x.shape, on: x.device)
    return x * (x.dtype == .float32 ? mask : x.backend.convert(mask, to: x.dtype))
  }

  private func mask(
    _ width: Int, _ branch: Branch, _ layer: Int, _ segments: Segments
  ) -> [Float] {
    let places = generators.map { $0.split(UInt64(layer)).split(branch.rawValue) }
    let (owners, positions) = (segments.owners, segments.positions)
    let kept = Float(1 / (1 - rate))
    return Array(unsafeUninitializedCapacity: segments.rows * width) { buffer, count in
      nonisolated(unsafe) let values = buffer
      DispatchQueue.concurrentPerform(iterations: segments.rows) { row in
        var generator = places[owners[row]].split(UInt64(positions[row]))
        for column in row * width..<(row + 1) * width {
          values.initializeElement(at: column, to: generator.uniform() < rate ? 0 : kept)
        }
      }
      count = segments.rows * width
    }
  }
}
