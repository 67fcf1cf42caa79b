import MaTVLMText

/// The text of an answer as it grows: hands out what is certain, and holds back what may turn out
/// to be the beginning of a stop text.
struct StoppingText {
  private var decoder: StreamingDecoder
  private let stops: [String]
  private var held = ""
  /// All text that belongs to the answer and was handed out.
  private(set) var whole = ""
  /// Whether a stop text came.
  private(set) var isStopped = false

  init(_ tokenizer: Tokenizer, stops: [String]) {
    decoder = StreamingDecoder(tokenizer, skippingSpecialTokens: true)
    self.stops = stops.filter { !$0.isEmpty }
  }

  /// Adds a token; returns the text that is certain now.
  mutating func append(_ id: Int) -> String {
    guard !isStopped else { return "" }
    held += decoder.append(id)
    return release(keeping: unfinishedStop())
  }

  /// Ends the answer; returns the rest of its text.
  mutating func finish() -> String {
    guard !isStopped else { return "" }
    held += decoder.finish()
    return release(keeping: 0)
  }

  /// Characters at the end of `held` that begin a stop text; all of it is looked through for a whole
  /// one first.
  private func unfinishedStop() -> Int {
    let longest = min(held.count, (stops.map(\.count).max() ?? 0) - 1)
    guard longest > 0 else { return 0 }
    return (1...longest).reversed().first { count in
      let end = held.suffix(count)
      return stops.contains { $0.hasPrefix(end) }
    } ?? 0
  }

  private mutating func release(keeping count: Int) -> String {
    let found = stops.compactMap { held.firstRange(of: $0)?.lowerBound }.min()
    let released: String
    if let found {
      isStopped = true
      released = String(held[..<found])
      held = ""
    } else {
      released = String(held.dropLast(count))
      held = String(held.suffix(count))
    }
    whole += released
    return released
  }
}
