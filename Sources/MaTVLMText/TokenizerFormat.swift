/// `tokenizer.json` of Hugging Face's `tokenizers` library, as far as byte-level BPE uses it.
///
/// Reading refuses every option that would change ids and is not implemented here. `truncation`
/// and `padding` are the caller's business and are not read.
struct TokenizerFormat: Codable {
  var version: String? = "1.0"
  var addedTokens: [AddedTokenFormat]
  var normalizer: Component?
  var preTokenizer: Component
  var postProcessor: Component?
  var decoder: Component
  var model: Model

  enum CodingKeys: String, CodingKey {
    case version, normalizer, decoder, model
    case addedTokens = "added_tokens"
    case preTokenizer = "pre_tokenizer"
    case postProcessor = "post_processor"
  }

  /// A stage of the pipeline; all of ours are `ByteLevel`.
  struct Component: Codable {
    var type = "ByteLevel"
    var addPrefixSpace: Bool?
    var trimOffsets: Bool? = true
    var useRegex: Bool? = true

    enum CodingKeys: String, CodingKey {
      case type
      case addPrefixSpace = "add_prefix_space"
      case trimOffsets = "trim_offsets"
      case useRegex = "use_regex"
    }
  }

  struct Model {
    var vocabulary: [String: Int]
    var merges: [(String, String)]
  }

  /// The first option, by key, that this implementation lacks.
  var unsupported: (key: String, expected: String, found: String)? {
    if let normalizer { return ("normalizer", "null", normalizer.type) }
    let stages = [
      ("pre_tokenizer", preTokenizer), ("post_processor", postProcessor), ("decoder", decoder),
    ]
    for case (let key, let stage?) in stages where stage.type != "ByteLevel" {
      return ("\(key).type", "ByteLevel", stage.type)
    }
    if preTokenizer.useRegex == false { return ("pre_tokenizer.use_regex", "true", "false") }
    return nil
  }
}

extension TokenizerFormat.Model: Codable {
  enum CodingKeys: String, CodingKey {
    case type, dropout, vocab, merges
    case unknownToken = "unk_token"
    case continuingSubwordPrefix = "continuing_subword_prefix"
    case endOfWordSuffix = "end_of_word_suffix"
    case fuseUnknown = "fuse_unk"
    case byteFallback = "byte_fallback"
    case ignoreMerges = "ignore_merges"
  }

  init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    func require<T: Decodable & Equatable>(_ key: CodingKeys, _ neutral: T) throws {
      guard let value = try container.decodeIfPresent(T.self, forKey: key), value != neutral
      else { return }
      throw DecodingError.dataCorruptedError(
        forKey: key, in: container, debugDescription: "\(value), where only \(neutral) is supported"
      )
    }
    try require(.type, "BPE")  // old files leave it out
    try require(.dropout, 0.0)
    try require(.continuingSubwordPrefix, "")
    try require(.endOfWordSuffix, "")
    try require(.byteFallback, false)
    try require(.ignoreMerges, false)
    vocabulary = try container.decode([String: Int].self, forKey: .vocab)
    merges = try Self.merges(container)
  }

  /// Merges are written as `"a b"` by old versions of the library, as `["a", "b"]` by new ones.
  private static func merges(_ container: KeyedDecodingContainer<CodingKeys>) throws
    -> [(String, String)]
  {
    let pairs: [[String]]
    if let lines = try? container.decode([String].self, forKey: .merges) {
      pairs = lines.map(MergeLine.parts)
    } else {
      pairs = try container.decode([[String]].self, forKey: .merges)
    }
    if let index = pairs.firstIndex(where: { $0.count != 2 }) {
      throw DecodingError.dataCorruptedError(
        forKey: .merges, in: container,
        debugDescription: "\(pairs[index].count) tokens in merge \(index + 1), where 2 are expected"
      )
    }
    return pairs.map { ($0[0], $0[1]) }
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode("BPE", forKey: .type)
    try container.encodeNil(forKey: .dropout)
    try container.encodeNil(forKey: .unknownToken)
    try container.encode("", forKey: .continuingSubwordPrefix)
    try container.encode("", forKey: .endOfWordSuffix)
    try container.encode(false, forKey: .fuseUnknown)
    try container.encode(false, forKey: .byteFallback)
    try container.encode(vocabulary, forKey: .vocab)
    try container.encode(merges.map { MergeLine.line($0) }, forKey: .merges)
  }
}

/// A merge as one line of `merges.txt`: two tokens and a space, which no token contains.
enum MergeLine {
  static func line(_ merge: (String, String)) -> String { merge.0 + " " + merge.1 }

  static func parts(_ line: some StringProtocol) -> [String] {
    line.utf8.split(separator: 0x20, omittingEmptySubsequences: false)
      .map { String(decoding: $0, as: UTF8.self) }
  }
}

/// An added token with its flags, in `tokenizer.json` (with `id`) and in `added_tokens_decoder`
/// of `tokenizer_config.json` (where the id is the key).
struct AddedTokenFormat: Codable {
  var id: Int?
  var content: String
  var special: Bool?
  var normalized: Bool?
  var singleWord: Bool? = false
  var stripsLeft: Bool? = false
  var stripsRight: Bool? = false

  enum CodingKeys: String, CodingKey {
    case id, content, special, normalized
    case singleWord = "single_word"
    case stripsLeft = "lstrip"
    case stripsRight = "rstrip"
  }

  init(_ token: AddedToken) {
    id = token.id
    content = token.content
    special = token.isSpecial
    normalized = token.isNormalized
  }

  /// The flag that is set but not supported here.
  var unsupported: String? {
    [(CodingKeys.singleWord, singleWord), (.stripsLeft, stripsLeft), (.stripsRight, stripsRight)]
      .first { $0.1 == true }?.0.rawValue
  }
}

/// What `tokenizer_config.json` and `special_tokens_map.json` say of special tokens.
struct SpecialTokensFormat: Codable {
  var beginning: Name?
  var end: Name?
  var unknown: Name?
  var padding: Name?
  var additional: [Name]?
  var addPrefixSpace: Bool?
  var addedTokens: [String: AddedTokenFormat]?
  var tokenizerClass: String?

  enum CodingKeys: String, CodingKey {
    case beginning = "bos_token"
    case end = "eos_token"
    case unknown = "unk_token"
    case padding = "pad_token"
    case additional = "additional_special_tokens"
    case addPrefixSpace = "add_prefix_space"
    case addedTokens = "added_tokens_decoder"
    case tokenizerClass = "tokenizer_class"
  }

  /// All tokens that are named.
  var names: [String] {
    [beginning, end, unknown, padding].compactMap { $0?.content }
      + (additional ?? []).map(\.content)
  }

  /// A token's text, alone or as `content` of an object.
  struct Name: Codable {
    var content: String

    private enum CodingKeys: String, CodingKey { case content }

    init(_ content: String) { self.content = content }

    init(from decoder: any Decoder) throws {
      if let container = try? decoder.container(keyedBy: CodingKeys.self) {
        content = try container.decode(String.self, forKey: .content)
      } else {
        content = try decoder.singleValueContainer().decode(String.self)
      }
    }

    func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      try container.encode(content)
    }
  }
}
