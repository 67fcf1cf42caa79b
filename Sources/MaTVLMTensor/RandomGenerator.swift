import Foundation

/// Seeded random numbers that are equal on every platform: SplitMix64 (Steele, Lea, Flood 2014),
/// 64 bits of state.
public struct RandomGenerator: RandomNumberGenerator, Sendable, Codable, Hashable {
  private var state: UInt64

  public init(seed: UInt64) { state = seed }

  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// A generator whose numbers are independent of this one's and of every other label's.
  public func split(_ label: UInt64) -> RandomGenerator {
    var child = RandomGenerator(seed: state ^ (label &+ 1) &* 0xD1B5_4A32_D192_ED03)
    return RandomGenerator(seed: child.next())
  }

  /// Uniform on [0, 1) with 53 random bits.
  public mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }

  /// Uniform on [lower, upper).
  public mutating func uniform(_ lower: Double, _ upper: Double) -> Double {
    lower + (upper - lower) * uniform()
  }

  /// Standard normal (Box and Muller 1958; the second of each pair is not kept, so that the state
  /// is one number).
  public mutating func normal() -> Double {
    let radius = (-2 * log(1 - uniform())).squareRoot()
    return radius * cos(2 * .pi * uniform())
  }

  /// A uniformly distributed order of `0..<count` (Fisher and Yates).
  public mutating func permutation(_ count: Int) -> [Int] {
    var order = Array(0..<count)
    for i in stride(from: count - 1, to: 0, by: -1) {
      order.swapAt(i, Int(next() % UInt64(i + 1)))
    }
    return order
  }
}
