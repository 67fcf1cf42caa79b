import MaTVLMText
import Testing

@Suite struct StreamingDecoderTests {
  private func pieces(_ ids: [Int], _ tokenizer: Tokenizer, skipping: Bool) -> [String] {
    var decoder = StreamingDecoder(tokenizer, skippingSpecialTokens: skipping)
    return ids.map { decoder.append($0) } + [decoder.finish()]
  }

  @Test(arguments: [false, true])
  func piecesJoinToTheWhole(skipping: Bool) throws {
    let tokenizer = try Fixtures.tokenizer()
    let golden: [TokenizerTests.Case] = try Fixtures.decode("tokenizer_cases.json")
    let illFormed: [TokenizerTests.DecodeCase] = try Fixtures.decode("decode_cases.json")
    for ids in golden.map(\.ids) + illFormed.map(\.ids) {
      let joined = pieces(ids, tokenizer, skipping: skipping).joined()
      let whole = tokenizer.decode(ids, skippingSpecialTokens: skipping)
      #expect(sameScalars(joined, whole), "\(ids)")
    }
  }

  /// Well-formed text never shows a replacement character on the way.
  @Test func charactersAreNotSplit() throws {
    let tokenizer = try Fixtures.tokenizer()
    for item in try Fixtures.decode("tokenizer_cases.json", as: [TokenizerTests.Case].self) {
      for piece in pieces(item.ids, tokenizer, skipping: false) {
        #expect(!piece.unicodeScalars.contains("\u{FFFD}"), "\(item.text.debugDescription)")
      }
    }
  }

  @Test func textComesAsSoonAsItIsComplete() throws {
    let tokenizer = try Fixtures.tokenizer()
    let ids = tokenizer.encode("\u{1F642}!")
    #expect(ids.count == 5)
    #expect(pieces(ids, tokenizer, skipping: true) == ["", "", "", "\u{1F642}", "!", ""])
    #expect(pieces(Array(ids.prefix(2)), tokenizer, skipping: true) == ["", "", "\u{FFFD}"])
  }
}
