/// Steele, Lea and Flood's SplitMix64: 64 bits of state, equal on every platform.
package struct SplitMix64: RandomNumberGenerator, Sendable {
  private var state: UInt64

  package init(seed: UInt64) {
    state = seed
  }

  /// A generator of its own for each path of words: neighbours share nothing.
  package init(_ path: UInt64...) {
    state = path.reduce(0) { Self.mixed($0 &+ 0x9E37_79B9_7F4A_7C15 ^ Self.mixed($1)) }
  }

  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    return Self.mixed(state)
  }

  /// A whole number from 0 to `bound - 1`. The standard library's own way of drawing may change
  /// between versions; this may not.
  package mutating func next(below bound: Int) -> Int {
    precondition(bound > 0, "next(below:): \(bound) is no bound")
    return Int(next().multipliedFullWidth(by: UInt64(bound)).high)
  }

  /// A whole number of the range, ends included.
  package mutating func next(in range: ClosedRange<Int>) -> Int {
    range.lowerBound + next(below: range.count)
  }

  /// One of the elements.
  package mutating func pick<Element>(_ elements: [Element]) -> Element {
    elements[next(below: elements.count)]
  }

  /// True once in `period` draws on average.
  package mutating func once(in period: Int) -> Bool {
    next(below: period) == 0
  }

  package mutating func shuffled<Element>(_ elements: [Element]) -> [Element] {
    var result = elements
    for last in stride(from: result.count - 1, to: 0, by: -1) {
      result.swapAt(last, next(below: last + 1))
    }
    return result
  }

  private static func mixed(_ word: UInt64) -> UInt64 {
    var z = word
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }
}
