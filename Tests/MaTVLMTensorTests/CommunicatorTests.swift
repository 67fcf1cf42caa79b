import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("What ranks say to each other")
struct CommunicatorTests {
  /// Numbers whose sum depends on the order.
  private static func values(_ rank: Int, _ count: Int) -> [Float] {
    var random = RandomGenerator(seed: UInt64(rank) + 1)
    return (0..<count).map { _ in Float(random.uniform(-1, 1)) * (rank % 2 == 0 ? 1e4 : 1e-2) }
  }

  @Test(
    "A sum has the bits of adding up in the order of the ranks, on every rank",
    arguments: [2, 3, 4], [0, 1, 5, 1000])
  func sum(_ size: Int, _ count: Int) throws {
    var expected = Self.values(0, count)
    for rank in 1..<size {
      for (index, value) in Self.values(rank, count).enumerated() { expected[index] += value }
    }
    let results = ThreadRanks.run(size) { $0.sum(Self.values($0.rank, count)) }
    for result in results { #expect(try result.get() == expected) }
  }

  @Test("Tensors are added up in groups, and those larger than one in pieces")
  func tensors() throws {
    let shapes: [Shape] = [[3, 5], [2_500, 2_000], [7], [0], [11, 2]]
    let results = ThreadRanks.run(2) { ranks in
      ranks.sum(shapes.map { Tensor(Self.values(ranks.rank, $0.count), $0) })
        .map { ($0.shape, $0.array()) }
    }
    for result in results {
      for ((shape, sum), expected) in zip(try result.get(), shapes) {
        #expect(shape == expected)
        let (one, other) = (Self.values(0, shape.count), Self.values(1, shape.count))
        #expect(sum == zip(one, other).map { $0 + $1 })
      }
    }
  }

  @Test("Values come in rank order, numbers that are not finite too")
  func gather() throws {
    let results = ThreadRanks.run(3) { ranks in
      try ranks.gather { [Double(ranks.rank), .infinity, 0.1 + 0.2] }
    }
    for result in results {
      #expect(try result.get() == (0..<3).map { [Double($0), .infinity, 0.1 + 0.2] })
    }
  }

  @Test("What fails on one rank fails on all: there with its error, elsewhere with its words")
  func failure() throws {
    struct Broken: Error, CustomStringConvertible { let description = "the disk is full" }
    let results = ThreadRanks.run(3) { ranks in
      try ranks.gather { if ranks.rank == 1 { throw Broken() } else { ranks.rank } }
    }
    let expected = CommunicatorError.failed(rank: 1, reason: "the disk is full")
    #expect(throws: expected) { try results[0].get() }
    #expect(throws: Broken.self) { try results[1].get() }
    #expect(throws: expected) { try results[2].get() }
  }

  @Test("Shares follow each other, cover everything and differ by one at most")
  func shares() throws {
    for (size, count) in [(1, 7), (3, 7), (4, 8), (5, 3)] {
      let shares = try ThreadRanks.run(size) { $0.share(of: count) }.map { try $0.get() }
      #expect(shares.flatMap { Array($0) } == Array(0..<count))
      let lengths = shares.map(\.count)
      #expect(lengths.max()! - lengths.min()! <= 1)
    }
  }
}
