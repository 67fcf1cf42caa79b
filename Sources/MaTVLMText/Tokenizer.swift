/// Byte-level byte-pair encoding, as GPT-2, CodeGen and Phi-2 use it: text to token ids and back.
///
/// Text is cut at added tokens, then into words by GPT-2's pattern; the bytes of each word are
/// merged in the order the merges were learned. Nothing is added at either end. Equal to Hugging
/// Face's `tokenizers` library with a `ByteLevel` pre-tokenizer and decoder.
public struct Tokenizer: Sendable {
  /// Token of each id, as the files spell it.
  let tokens: [String]
  /// Bytes that each id stands for.
  private let bytes: [[UInt8]]
  let merges: BytePairMerges
  /// Tokens looked for in the text, by ascending id.
  public let addedTokens: [AddedToken]
  /// Ids of the tokens that exist only as added ones, outside the base vocabulary.
  let idsOutsideBase: Set<Int>
  private let specialIDs: Set<Int>
  private let tries: [AddedTokenTrie]
  /// Whether a space is put before text that has none (Hugging Face's `add_prefix_space`).
  public let addsPrefixSpace: Bool
  /// Id of `<|endoftext|>`: it ends every answer, and is beginning, unknown and padding as well.
  public let endOfText: Int

  /// Makes a tokenizer from its parts, after checking that they fit together.
  ///
  /// - Throws: ``TokenizerError/invalid(file:key:expected:found:)``.
  init(_ definition: TokenizerDefinition) throws {
    let checked = try CheckedVocabulary(definition)
    tokens = checked.tokens
    bytes = checked.bytes
    merges = checked.merges
    addedTokens = definition.added.sorted { $0.id < $1.id }
    idsOutsideBase = checked.idsOutsideBase
    specialIDs = Set(addedTokens.lazy.filter(\.isSpecial).map(\.id))
    tries = [false, true].map { normalized in
      AddedTokenTrie(definition.added.lazy.filter { $0.isNormalized == normalized })
    }
    addsPrefixSpace = definition.addsPrefixSpace
    endOfText = checked.endOfText
  }

  /// Makes a tokenizer from a vocabulary and merges that are spelled in GPT-2's byte alphabet.
  ///
  /// - Parameters:
  ///   - vocabulary: base tokens and their ids; all 256 byte letters must be among them.
  ///   - merges: pairs of tokens, best first; each pair joined must be a token.
  ///   - added: tokens looked for in the text; their ids continue or repeat those of `vocabulary`.
  ///   - endOfText: the token, in `vocabulary` or `added`, that ends an answer; made special.
  /// - Throws: ``TokenizerError/invalid(file:key:expected:found:)`` if ids have gaps or repeat, or
  ///   a merge names an unknown token.
  public init(
    vocabulary: [String: Int], merges: [(String, String)], added: [AddedToken] = [],
    endOfText: String = Tokenizer.defaultEndOfText
  ) throws {
    var definition = TokenizerDefinition(
      vocabulary: vocabulary, merges: merges, added: added, endOfText: endOfText,
      origin: .init(
        vocabulary: .init(file: "vocabulary"), merges: .init(file: "merges"),
        added: .init(file: "added tokens")))
    try definition.makeSpecial(endOfText, namedBy: definition.origin.vocabulary)
    try self.init(definition)
  }

  /// The end-of-text token of GPT-2, CodeGen and Phi-2.
  public static let defaultEndOfText = "<|endoftext|>"

  /// Number of tokens, added ones included. A model may have more rows than this; they have no text.
  public var vocabularySize: Int { tokens.count }

  /// Token `id` as the files spell it (`Ġthe` for " the"), or nil if there is none.
  public func token(for id: Int) -> String? { tokens.indices.contains(id) ? tokens[id] : nil }

  /// Whether decoding may skip token `id`.
  public func isSpecial(_ id: Int) -> Bool { specialIDs.contains(id) }

  /// The ids of `text`, in time near linear in its length.
  public func encode(_ text: String) -> [Int] {
    var ids: [Int] = []
    encode(Array(text.utf8)[...], cuttingWith: tries[...], into: &ids)
    return ids
  }

  private func encode(
    _ text: ArraySlice<UInt8>, cuttingWith tries: ArraySlice<AddedTokenTrie>, into ids: inout [Int]
  ) {
    guard let trie = tries.first else { return encodeWords(of: text, into: &ids) }
    for piece in trie.pieces(of: text) {
      switch piece {
      case .token(let id): ids.append(id)
      case .text(let text): encode(text, cuttingWith: tries.dropFirst(), into: &ids)
      }
    }
  }

  private func encodeWords(of piece: ArraySlice<UInt8>, into ids: inout [Int]) {
    let text = addsPrefixSpace && piece.first != 0x20 ? [0x20] + piece : piece
    for word in PreTokenizer.words(in: text) { merges.encode(text[word], into: &ids) }
  }

  /// The text of `ids`; bytes that are not UTF-8 become U+FFFD, one for each maximal ill-formed part.
  ///
  /// Ids without a token (rows of the model beyond the vocabulary, the image placeholder) give
  /// nothing, as in Hugging Face's `decode`; spaces before punctuation are kept, which is that
  /// function with `clean_up_tokenization_spaces=False`.
  public func decode(_ ids: [Int], skippingSpecialTokens: Bool = false) -> String {
    var result: [UInt8] = []
    for id in ids { result += bytes(of: id, skippingSpecialTokens: skippingSpecialTokens) }
    return String(decoding: result, as: UTF8.self)
  }

  func bytes(of id: Int, skippingSpecialTokens: Bool) -> [UInt8] {
    guard bytes.indices.contains(id), !(skippingSpecialTokens && isSpecial(id)) else { return [] }
    return bytes[id]
  }
}
