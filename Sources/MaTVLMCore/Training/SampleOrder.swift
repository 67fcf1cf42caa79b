import MaTVLMTensor

/// The order in which samples are visited, epoch after epoch: a function of the seed and the number
/// of the visit only, so that a run can be continued anywhere.
package struct SampleOrder: Sendable {
  private let count: Int
  private let shuffles: Bool
  private let seed: UInt64
  private var epoch = -1
  private var order: [Int] = []
  /// Visits made so far.
  package private(set) var visits = 0

  package init(count: Int, shuffles: Bool, seed: UInt64, visits: Int = 0) {
    (self.count, self.shuffles, self.seed) = (count, shuffles, seed)
    self.visits = visits
  }

  package mutating func next() -> Int {
    defer { visits += 1 }
    return sample(at: visits)
  }

  /// The sample that a visit of any number is to.
  package mutating func sample(at visit: Int) -> Int {
    if visit / count != epoch {
      epoch = visit / count
      var generator = RandomGenerator(seed: seed).split(UInt64(epoch))
      order = shuffles ? generator.permutation(count) : Array(0..<count)
    }
    return order[visit % count]
  }

  /// Goes on behind so many more visits.
  package mutating func skip(_ visits: Int) { self.visits += visits }
}
