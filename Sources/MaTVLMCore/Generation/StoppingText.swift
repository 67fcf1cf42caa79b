import MaTVLMText

/// The text of an answer as it grows: hands out what is certain, and holds back what may turn out
/// to be the beginning of a stop text.
package struct StoppingText {
  private var decoder: StreamingDecoder
  /// In bytes: in characters, a line feed after a carriage return or a letter before its accent
  /// would not be found.
  private let stops: [[UInt8]]
  private var held: [UInt8] = []
  /// All text that belongs to the answer and was handed out.
  package private(set) var whole = ""
  /// Whether a stop text came.
  package private(set) var isStopped = false

  package init(_ tokenizer: Tokenizer, stops: [String]) {
    decoder = StreamingDecoder(tokenizer, skippingSpecialTokens: true)
    self.stops = stops.filter { !$0.isEmpty }.map { Array($0.utf8) }
  }

  /// Adds a token; returns the text that is certain now.
  package mutating func append(_ id: Int) -> String {
    guard !isStopped else { return "" }
    held += decoder.append(id).utf8
    return release(keeping: unfinishedStop())
  }

  /// Ends the answer; returns the rest of its text.
  package mutating func finish() -> String {
    guard !isStopped else { return "" }
    held += decoder.finish().utf8
    return release(keeping: 0)
  }

  /// Bytes at the end of `held` that begin a stop text; all of it is looked through for a whole
  /// one first.
  private func unfinishedStop() -> Int {
    let longest = min(held.count, (stops.map(\.count).max() ?? 0) - 1)
    guard longest > 0 else { return 0 }
    return (1...longest).reversed().first { count in
      let end = held.suffix(count)
      return stops.contains { $0.starts(with: end) }
    } ?? 0
  }

  private mutating func release(keeping count: Int) -> String {
    let found = stops.compactMap { held.firstRange(of: $0)?.lowerBound }.min()
    let released: String
    if let found {
      isStopped = true
      released = String(decoding: held[..<found], as: UTF8.self)
      held = []
    } else {
      released = String(decoding: held.dropLast(count), as: UTF8.self)
      held = Array(held.suffix(count))
    }
    whole += released
    return released
  }
}
