/// One of several equal parts of a benchmark, for one of several processes.
public struct Shard: Sendable, Hashable, CustomStringConvertible {
  /// From 1.
  public let number: Int
  /// Of how many.
  public let count: Int

  /// All questions.
  public static let whole = Shard(number: 1, count: 1)!

  /// nil when there is no such part.
  public init?(number: Int, count: Int) {
    guard (1...10_000).contains(count), (1...count).contains(number) else { return nil }
    (self.number, self.count) = (number, count)
  }

  /// Reads `2/8`.
  public init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
    guard parts.count == 2, let number = parts[0], let count = parts[1] else { return nil }
    self.init(number: number, count: count)
  }

  /// As it is read: `2/8`.
  public var description: String { "\(number)/\(count)" }

  /// Which of `total` questions belong to it; empty where there are fewer questions than parts.
  public func range(of total: Int) -> Range<Int> {
    total * (number - 1) / count..<total * number / count
  }
}
