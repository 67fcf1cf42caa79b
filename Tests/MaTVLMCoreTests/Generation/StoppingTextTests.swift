import MaTVLMCore
import MaTVLMTestSupport
import Testing

@Suite("Stop texts")
struct StoppingTextTests {
  private let tokenizer: Tokenizer

  init() throws { tokenizer = try GoldenModels.load("teacher").tokenizer }

  /// Feeds a text character by character; returns what was handed out each time, the rest last.
  private func pieces(_ text: String, stops: [String]) -> (pieces: [String], stopped: Bool) {
    var stopping = StoppingText(tokenizer, stops: stops)
    var pieces: [String] = []
    for scalar in text.unicodeScalars {
      for id in tokenizer.encode(String(scalar)) { pieces.append(stopping.append(id)) }
    }
    pieces.append(stopping.finish())
    #expect(stopping.whole == pieces.joined())
    return (pieces, stopping.isStopped)
  }

  @Test(
    "an answer ends before the first stop text",
    arguments: [
      ("hello STOP more", ["STOP"], "hello "), ("aSTxSTOPb", ["STOP"], "aSTx"),
      ("aaab", ["aab"], "a"), ("one two three", ["three", "two"], "one "),
      ("abcd", ["cd", "bc"], "a"), ("STOP", ["STOP"], ""), ("x\ny", ["\n"], "x"),
      // In characters, the line feed is part of one and the accent of another.
      ("x\r\ny", ["\n"], "x\r"), ("cafe\u{301} au lait", ["e"], "caf"),
      ("caf\u{E9} au lait", ["e\u{301}"], "caf\u{E9} au lait"),
      ("看北京吧", ["北京"], "看"),
    ])
  func stops(_ text: String, _ stops: [String], _ expected: String) {
    let (pieces, stopped) = pieces(text, stops: stops)
    #expect(Array(pieces.joined().utf8) == Array(expected.utf8))
    #expect(stopped == (expected != text))
  }

  @Test(
    "without a whole stop text nothing is lost",
    arguments: [
      ("hello STO", ["STOP"]), ("hello", []), ("hello", [""]), ("aSTSTOb", ["STOP", "SX"]),
      ("北京🙂é", ["京都"]),
    ])
  func unstopped(_ text: String, _ stops: [String]) {
    let (pieces, stopped) = pieces(text, stops: stops)
    #expect(pieces.joined() == text && !stopped)
  }

  @Test("what may begin a stop text is held back, and nothing else")
  func held() {
    let (found, _) = pieces("abSTxyS", stops: ["STOP"])
    #expect(found == ["a", "b", "", "", "STx", "y", "", "S"])
    #expect(pieces("ab", stops: []).pieces == ["a", "b", ""])
  }

  @Test("no piece has half a character")
  func characters() {
    let (found, _) = pieces("北🙂京", stops: ["🙂🙂"])
    #expect(found.joined() == "北🙂京")
    #expect(found.allSatisfy { !$0.contains("\u{FFFD}") })
  }
}
