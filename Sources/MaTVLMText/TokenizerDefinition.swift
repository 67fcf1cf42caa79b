/// The parts of a tokenizer as files or callers give them, not yet checked against each other.
struct TokenizerDefinition {
  /// Where a part comes from, for errors.
  struct Place {
    var file: String
    var key: String?

    func invalid(_ item: String, expected: String, found: String) -> TokenizerError {
      let key = [key, excerpt(item)].compactMap { $0 }.joined(separator: ": ")
      return .invalid(file: file, key: key, expected: expected, found: excerpt(found))
    }

    /// Hostile files have names of many megabytes; an error shows the beginning.
    private func excerpt(_ text: String) -> String {
      text.count > 80 ? text.prefix(80) + "…" : text
    }
  }

  struct Origin {
    var vocabulary: Place
    var merges: Place
    var added: Place
  }

  var vocabulary: [String: Int]
  var merges: [(String, String)]
  var added: [AddedToken]
  var endOfText: String
  var addsPrefixSpace = false
  var origin: Origin

  /// Marks token `content` as special, adding it to `added` if only the vocabulary has it.
  ///
  /// - Parameter place: what names the token, for the error if there is none.
  mutating func makeSpecial(_ content: String, namedBy place: Place) throws {
    if let index = added.firstIndex(where: { $0.content == content }) {
      let token = added[index]
      if token.isSpecial { return }
      added[index] = AddedToken(
        id: token.id, content: content, isSpecial: true, isNormalized: token.isNormalized)
    } else if let id = vocabulary[content] {
      added.append(AddedToken(id: id, content: content, isSpecial: true))
    } else {
      throw place.invalid(
        "special token", expected: "\(content) among the tokens", found: "no such token")
    }
  }
}

/// What a definition comes to once it is known to be whole and consistent.
struct CheckedVocabulary {
  /// Token of each id; ids run from 0 without gaps.
  let tokens: [String]
  /// Bytes of each id.
  let bytes: [[UInt8]]
  let merges: BytePairMerges
  let idsOutsideBase: Set<Int>
  let endOfText: Int

  init(_ definition: TokenizerDefinition) throws {
    let outside = try Self.addedOutsideBase(definition)
    tokens = try Self.tokens(definition, outside)
    idsOutsideBase = Set(outside.map(\.id))
    let addedIDs = Set(definition.added.map(\.id))
    var bytes: [[UInt8]] = []
    var idsByBytes: [[UInt8]: Int] = [:]
    for (id, token) in tokens.enumerated() {
      // Added tokens are plain text, and decode as such unless they happen to be all letters.
      let spelled = ByteAlphabet.bytes(spelledBy: token)
      guard let value = spelled ?? (addedIDs.contains(id) ? Array(token.utf8) : nil) else {
        throw definition.origin.vocabulary.invalid(
          "id \(id)", expected: "a token spelled in GPT-2's byte alphabet", found: token)
      }
      bytes.append(value)
      if spelled != nil, !idsOutsideBase.contains(id) { idsByBytes[value] = id }
    }
    self.bytes = bytes
    merges = try Self.merges(definition, idsByBytes)
    guard let endOfText = definition.added.first(where: { $0.content == definition.endOfText })
    else {
      throw definition.origin.added.invalid(
        "end of text", expected: "\(definition.endOfText) among the special tokens",
        found: "no such token")
    }
    self.endOfText = endOfText.id
  }

  /// Added tokens that the base vocabulary lacks; the others must have the id it gives them.
  private static func addedOutsideBase(_ definition: TokenizerDefinition) throws -> [AddedToken] {
    let place = definition.origin.added
    var seen = Set<[UInt8]>()
    return try definition.added.filter { token in
      guard !token.content.isEmpty else {
        throw place.invalid("id \(token.id)", expected: "a token of some text", found: "none")
      }
      guard seen.insert(Array(token.content.utf8)).inserted else {
        throw place.invalid(token.content, expected: "one entry", found: "two")
      }
      guard let id = definition.vocabulary[token.content] else { return true }
      guard id == token.id else {
        throw place.invalid(
          token.content, expected: "id \(id), as in the vocabulary", found: "id \(token.id)")
      }
      return false
    }
  }

  private static func tokens(_ definition: TokenizerDefinition, _ outside: [AddedToken]) throws
    -> [String]
  {
    let count = definition.vocabulary.count + outside.count
    var tokens = [String?](repeating: nil, count: count)
    func place(_ token: String, _ id: Int, _ place: TokenizerDefinition.Place) throws {
      guard tokens.indices.contains(id) else {
        throw place.invalid(token, expected: "an id from 0 to \(count - 1)", found: "\(id)")
      }
      guard tokens[id] == nil else {
        throw place.invalid(token, expected: "an id of its own", found: "\(id), used before")
      }
      tokens[id] = token
    }
    // In a fixed order, so that the same fault is always told of the same token.
    for (token, id) in definition.vocabulary.sorted(by: { ($0.value, $0.key) < ($1.value, $1.key) })
    {
      try place(token, id, definition.origin.vocabulary)
    }
    for token in outside { try place(token.content, token.id, definition.origin.added) }
    return tokens.compactMap { $0 }  // as many ids as tokens, all different and in range: no gap
  }

  private static func merges(_ definition: TokenizerDefinition, _ ids: [[UInt8]: Int]) throws
    -> BytePairMerges
  {
    let byteTokens = try (0...255).map { (byte: UInt8) in
      guard let id = ids[[byte]] else {
        throw definition.origin.vocabulary.invalid(
          "byte \(byte)", expected: "a token \(ByteAlphabet.spelling(of: [byte]))", found: "none")
      }
      return id
    }
    let merges = try definition.merges.enumerated().map { index, pair in
      func known(_ token: String, _ bytes: [UInt8]?) throws -> (id: Int, bytes: [UInt8]) {
        guard let bytes, let id = ids[bytes] else {
          throw definition.origin.merges.invalid(
            "merge \(index + 1)", expected: "tokens of the vocabulary", found: token)
        }
        return (id, bytes)
      }
      let left = try known(pair.0, ByteAlphabet.bytes(spelledBy: pair.0))
      let right = try known(pair.1, ByteAlphabet.bytes(spelledBy: pair.1))
      let result = try known(pair.0 + pair.1, left.bytes + right.bytes)
      return BytePairMerges.Merge(left: left.id, right: right.id, result: result.id)
    }
    return BytePairMerges(merges, byteTokens: byteTokens)
  }
}
