/// Where sequences begin and end in rows that lie end to end.
///
/// Attention, the causal convolution and the scan look at segments; everything else treats rows
/// alike, so sequences of unequal length need neither padding nor masks.
public struct Segments: Sendable, Hashable {
  /// Rows of each sequence.
  public let lengths: [Int]
  /// The first row of each sequence, and at the end the number of rows: one more than `lengths`.
  public let starts: [Int]

  /// - Precondition: no length is negative.
  public init(_ lengths: [Int]) {
    require(lengths.allSatisfy { $0 >= 0 }, "Segments: negative length in \(lengths)")
    self.lengths = lengths
    starts = lengths.reduce(into: [0]) { $0.append($0.last! + $1) }
  }

  public init(repeating length: Int, count: Int) {
    self.init(Array(repeating: length, count: count))
  }

  public var count: Int { lengths.count }

  /// All rows of all sequences.
  public var rows: Int { starts.last! }

  /// For each row, which sequence it belongs to.
  public var owners: [Int] {
    lengths.enumerated().flatMap { Array(repeating: $0.offset, count: $0.element) }
  }

  /// For each row, its position in its sequence, from 0.
  public var positions: [Int] { lengths.flatMap { Array(0..<$0) } }
}
