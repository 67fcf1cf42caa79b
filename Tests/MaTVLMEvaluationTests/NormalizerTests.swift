import MaTVLMEvaluation
import Testing

@Suite("Published and corrected rules, where they differ")
struct NormalizerTests {
  @Test(
    "One mark beside a space decides for all of its kind, or for itself",
    arguments: [("a cat-dog - x", "catdog x", "cat dog x"), ("red/blue", "red blue", "red blue")])
  func punctuation(_ text: String, _ published: String, _ corrected: String) {
    #expect(AnswerNormalizer(.published)(text) == published)
    #expect(AnswerNormalizer(.corrected)(text) == corrected)
  }

  @Test("The published rule removes 32 periods")
  func periods() {
    let text = String(repeating: "x.", count: 40)
    #expect(AnswerNormalizer(.published)(text).count { $0 == "." } == 8)
    #expect(AnswerNormalizer(.corrected)(text).count { $0 == "." } == 0)
  }

  @Test("Text is compared by code points, as in Python")
  func codePoints() {
    // A comma before a combining accent, a line feed after a carriage return, a wide space.
    #expect(AnswerNormalizer()("a,\u{301}b") == "a\u{301}b".lowercased())
    #expect(AnswerNormalizer()("one\r\ntwo\u{3000}three") == "1 2 3")
    #expect(ChosenOption(letters: ["A"], options: [])("\u{301}(A)\u{301}") == "A")
  }
}
