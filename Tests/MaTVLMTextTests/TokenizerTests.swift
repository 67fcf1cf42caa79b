import Foundation
import MaTVLMText
import Testing

@Suite struct TokenizerTests {
  struct Case: Decodable {
    let text: String
    let ids: [Int]
    let decoded: String?
  }

  @Test(arguments: Fixtures.Form.allCases)
  func agreesWithHuggingFace(form: Fixtures.Form) throws {
    let tokenizer = try Fixtures.tokenizer(form)
    let golden: [Case] = try Fixtures.decode("tokenizer_cases.json")
    #expect(golden.count == 410)
    let edges: [Case] = try Fixtures.decode("text_cases.json")
    #expect(edges.count == 400)
    for item in golden + edges {
      #expect(tokenizer.encode(item.text) == item.ids, "\(item.text.debugDescription)")
      let decoded = tokenizer.decode(item.ids)
      #expect(sameScalars(decoded, item.decoded ?? item.text), "\(item.text.debugDescription)")
    }
  }

  struct DecodeCase: Decodable {
    let ids: [Int]
    let text: String
    let plain: String
  }

  @Test func decodesIllFormedBytesAsHuggingFaceDoes() throws {
    let tokenizer = try Fixtures.tokenizer()
    for item in try Fixtures.decode("decode_cases.json", as: [DecodeCase].self) {
      #expect(sameScalars(tokenizer.decode(item.ids), item.text), "\(item.ids)")
      let plain = tokenizer.decode(item.ids, skippingSpecialTokens: true)
      #expect(sameScalars(plain, item.plain), "\(item.ids)")
    }
  }

  @Test(arguments: Fixtures.Form.allCases)
  func knowsItsTokens(form: Fixtures.Form) throws {
    let tokenizer = try Fixtures.tokenizer(form)
    #expect(tokenizer.vocabularySize == 587)
    #expect(tokenizer.endOfText == 0)
    #expect(tokenizer.token(for: 0) == "<|endoftext|>")
    #expect(tokenizer.token(for: 221) == "Ġ")
    #expect(tokenizer.token(for: 586) == "\t\t")
    #expect(tokenizer.token(for: 587) == nil)
    #expect(tokenizer.token(for: -200) == nil)
    #expect(tokenizer.isSpecial(0))
    #expect(!tokenizer.isSpecial(586))
    #expect(!tokenizer.addsPrefixSpace)
    #expect(tokenizer.addedTokens.map(\.id) == [0] + Array(579...586))
  }

  @Test func idsWithoutTextDecodeToNothing() throws {
    let tokenizer = try Fixtures.tokenizer()
    let ids = tokenizer.encode("a circle")
    #expect(tokenizer.decode([-200] + ids + [600, .max, .min]) == "a circle")
  }

  /// A word of a million letters: anything quadratic would not end.
  @Test(arguments: ["a", "the", "é", " ", "\n", "'", "\u{301}"])
  func longWordsAreEncoded(unit: String) throws {
    let tokenizer = try Fixtures.tokenizer()
    let text = String(repeating: unit, count: 1 << 20)
    let ids = tokenizer.encode(text)
    #expect(ids.count <= text.utf8.count)
    #expect(sameScalars(tokenizer.decode(ids), text))
  }

  @Test func prefixSpaceIsPutBeforeEachPiece() throws {
    try Fixtures.withTokenizer(.single) { directory in
      let file = directory.appendingPathComponent("tokenizer.json")
      let text = try String(contentsOf: file, encoding: .utf8)
      let changed = text.replacingOccurrences(
        of: "\"type\": \"ByteLevel\",\n    \"add_prefix_space\": false",
        with: "\"type\": \"ByteLevel\",\n    \"add_prefix_space\": true")
      try changed.write(to: file, atomically: true, encoding: .utf8)
      let tokenizer = try Tokenizer.load(directory)
      #expect(tokenizer.addsPrefixSpace)
      #expect(tokenizer.decode(tokenizer.encode("a<|endoftext|>b c")) == " a<|endoftext|> b c")
    }
  }

  @Test func specialTokensAreSoughtBeforeOthers() throws {
    let letters = try Fixtures.decode("tokenizer/vocab.json", as: [String: Int].self)
      .filter { $0.key.unicodeScalars.count == 1 || $0.value == 0 }
    let bytes = Dictionary(
      uniqueKeysWithValues: letters.sorted { $0.value < $1.value }.enumerated()
        .map { ($1.key, $0) })
    #expect(bytes.count == 257)
    let tokenizer = try Tokenizer(
      vocabulary: bytes, merges: [],
      added: [
        AddedToken(id: 257, content: "xyz"), AddedToken(id: 258, content: "yzw", isSpecial: true),
        AddedToken(id: 259, content: "xy"),
      ])
    // Among equals the leftmost and longest wins, but a special one is cut out before them.
    #expect(tokenizer.encode("xyzw") == [bytes["x"]!, 258])
    #expect(tokenizer.encode("xyzxyxyz") == [257, 259, 257])
    #expect(tokenizer.decode([257, 258, 0], skippingSpecialTokens: true) == "xyz")
  }
}
