/// Learns a byte-level BPE tokenizer from text; the same text gives the same tokenizer.
///
/// Ids: end of text is 0, the byte letters in Unicode order are 1…256, merges follow as they are
/// learned, then added tokens. Pairs are counted anew for each merge, which suits vocabularies of
/// hundreds, not of tens of thousands.
public struct BytePairTrainer: Sendable {
  /// Most tokens to have, added ones left out; at least 257.
  public var vocabularySize: Int
  /// A pair that occurs less often is not merged.
  public var minimumCount = 2
  /// Further tokens to look for in the text, such as runs of spaces.
  public var addedTokens: [String] = []
  /// The token that ends a text.
  public var endOfText = Tokenizer.defaultEndOfText

  public init(vocabularySize: Int, minimumCount: Int = 2, addedTokens: [String] = []) {
    self.vocabularySize = vocabularySize
    self.minimumCount = minimumCount
    self.addedTokens = addedTokens
  }

  private struct Pair: Hashable {
    let left: Int
    let right: Int
  }

  /// Learns from `texts`.
  ///
  /// - Throws: ``TokenizerError/invalid(file:key:expected:found:)`` if an added token is empty, is
  ///   given twice or was learned as a merge.
  public func train(on texts: some Sequence<String>) throws -> Tokenizer {
    precondition(vocabularySize >= 257, "BytePairTrainer: vocabulary of \(vocabularySize)")
    let alphabet = (0...255).map { UInt8($0) }
      .sorted { ByteAlphabet.letters[Int($0)].value < ByteAlphabet.letters[Int($1)].value }
    var tokens = [endOfText] + alphabet.map { ByteAlphabet.spelling(of: [$0]) }
    var ids = Dictionary(uniqueKeysWithValues: zip(tokens, tokens.indices))
    var merges: [(String, String)] = []
    var words = Self.words(in: texts, alphabet: alphabet)
    while tokens.count < vocabularySize, let pair = mostFrequentPair(in: words) {
      let (left, right) = (tokens[pair.left], tokens[pair.right])
      merges.append((left, right))
      // Two merges may spell the same token: a + bc and ab + c.
      let id = ids[left + right] ?? tokens.count
      if id == tokens.count { tokens.append(left + right) }
      ids[left + right] = id
      for index in words.indices { Self.join(pair, as: id, in: &words[index].symbols) }
    }
    let added = addedTokens.enumerated().map { AddedToken(id: tokens.count + $0, content: $1) }
    return try Tokenizer(
      vocabulary: ids, merges: merges, added: added, endOfText: endOfText)
  }

  /// The distinct words of all texts as ids of their bytes, with how often each occurs.
  private static func words(in texts: some Sequence<String>, alphabet: [UInt8])
    -> [(symbols: [Int], count: Int)]
  {
    var ids = [Int](repeating: 0, count: 256)
    for (index, byte) in alphabet.enumerated() { ids[Int(byte)] = index + 1 }
    var counts: [[Int]: Int] = [:]
    for text in texts {
      let bytes = Array(text.utf8)
      for word in PreTokenizer.words(in: bytes[...]) {
        counts[bytes[word].map { ids[Int($0)] }, default: 0] += 1
      }
    }
    return counts.map { (symbols: $0.key, count: $0.value) }
  }

  /// The pair to merge next; of equally frequent ones that of the smaller ids.
  private func mostFrequentPair(in words: [(symbols: [Int], count: Int)]) -> Pair? {
    var counts: [Pair: Int] = [:]
    for (symbols, count) in words {
      for (left, right) in zip(symbols, symbols.dropFirst()) {
        counts[Pair(left: left, right: right), default: 0] += count
      }
    }
    return counts.filter { $0.value >= minimumCount }
      .min { ($1.value, $0.key.left, $0.key.right) < ($0.value, $1.key.left, $1.key.right) }?.key
  }

  private static func join(_ pair: Pair, as id: Int, in symbols: inout [Int]) {
    guard symbols.contains(pair.left), symbols.contains(pair.right) else { return }
    var joined: [Int] = []
    for symbol in symbols {
      if symbol == pair.right, joined.last == pair.left {
        joined[joined.count - 1] = id
      } else {
        joined.append(symbol)
      }
    }
    symbols = joined
  }
}
