import Foundation
import MaTVLMTensor
import Testing

@Suite("Random numbers are the same everywhere")
struct RandomGeneratorTests {
  /// The first outputs of SplitMix64 with this seed, from its authors' C code.
  @Test func knownValues() {
    var generator = RandomGenerator(seed: 1_234_567)
    let values = (0..<5).map { _ in generator.next() }
    #expect(
      values == [
        6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
        4_593_380_528_125_082_431, 16_408_922_859_458_223_821,
      ])
  }

  @Test func restoredFromJSON() throws {
    var generator = RandomGenerator(seed: 3)
    _ = generator.normal()
    var restored = try JSONDecoder().decode(
      RandomGenerator.self, from: JSONEncoder().encode(generator))
    #expect(restored.next() == generator.next())
  }

  @Test func splitsAreDistinctAndRepeatable() {
    let generator = RandomGenerator(seed: 1)
    var firsts = (0..<1000).map { label in
      var child = generator.split(UInt64(label))
      return child.next()
    }
    var own = generator
    firsts.append(own.next())
    #expect(Set(firsts).count == 1001)
    #expect(generator.split(5) == generator.split(5))
  }

  @Test func uniformAndNormalMoments() {
    var generator = RandomGenerator(seed: 2)
    let count = 100_000
    let uniform = (0..<count).map { _ in generator.uniform(-1, 3) }
    #expect(uniform.min()! >= -1 && uniform.max()! < 3)
    // Five standard errors of each mean.
    #expect(abs(uniform.reduce(0, +) / Double(count) - 1) < 5 * 1.155 / Double(count).squareRoot())
    let normal = (0..<count).map { _ in generator.normal() }
    let mean = normal.reduce(0, +) / Double(count)
    let meanSquare = normal.reduce(0) { $0 + $1 * $1 } / Double(count)
    #expect(abs(mean) < 5 / Double(count).squareRoot())
    #expect(abs(meanSquare - 1) < 5 * 1.415 / Double(count).squareRoot())
  }

  @Test func permutations() {
    var generator = RandomGenerator(seed: 4)
    let order = generator.permutation(100)
    #expect(order.sorted() == Array(0..<100))
    #expect(order != Array(0..<100))
    #expect(generator.permutation(0) == [])
  }
}
