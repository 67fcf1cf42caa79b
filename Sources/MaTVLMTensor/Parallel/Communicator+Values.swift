import Foundation

extension Communicator {
  /// What `body` gives on every rank, in rank order. If it throws on one rank, all throw: that rank its
  /// own error, the others ``CommunicatorError/failed(rank:reason:)`` of the first such rank.
  public func gather<Value: Codable>(_ body: () throws -> Value) throws -> [Value] {
    guard size > 1 else { return [try body()] }
    let own = Result { try body() }
    let outcomes: [Outcome<Value>] = try allGather([UInt8](Outcome(own).encoded()))
      .map { try PropertyListDecoder().decode(Outcome.self, from: Data($0)) }
    _ = try own.get()
    for (rank, outcome) in outcomes.enumerated() {
      if let failure = outcome.failure {
        throw CommunicatorError.failed(rank: rank, reason: failure)
      }
    }
    return outcomes.compactMap(\.value)
  }

  /// What rank 0 gives.
  package func broadcast<Element: BitwiseCopyable>(_ values: [Element]) -> [Element] {
    allGather(rank == 0 ? values : [])[0]
  }

  /// The part of `count` things in a row that is this rank's; parts differ by one at most.
  package func share(of count: Int) -> Range<Int> { part(rank, of: count) }

  func part(_ rank: Int, of count: Int) -> Range<Int> {
    count * rank / size..<count * (rank + 1) / size
  }
}

/// What a rank tells the others. A binary property list: unlike JSON it has numbers that are not
/// finite.
private struct Outcome<Value: Codable>: Codable {
  let value: Value?
  let failure: String?

  init(_ result: Result<Value, any Error>) {
    switch result {
    case .success(let value): (self.value, failure) = (value, nil)
    case .failure(let error): (value, failure) = (nil, "\(error)")
    }
  }

  func encoded() throws -> Data {
    let encoder = PropertyListEncoder()
    encoder.outputFormat = .binary
    return try encoder.encode(self)
  }
}
