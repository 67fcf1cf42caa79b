import MaTVLMText
import Testing

@Suite struct ConversationTests {
  private func messages(_ speakers: String...) -> [Message] {
    speakers.enumerated().map { Message(from: $1, value: "\($0)") }
  }

  private func pairs(_ turns: [Turn]) -> [[String?]] { turns.map { [$0.question, $0.answer] } }

  @Test func messagesPairUp() throws {
    let turns = try [Turn](messages: messages("human", "gpt", "human", "gpt"))
    #expect(pairs(turns) == [["0", "1"], ["2", "3"]])
  }

  @Test func aFirstMessageThatIsNotHumanIsDropped() throws {
    #expect(pairs(try [Turn](messages: messages("system", "human", "gpt"))) == [["1", "2"]])
    #expect(pairs(try [Turn](messages: messages("gpt", "gpt", "human"))) == [["1", "2"]])
  }

  @Test func speakersAreIgnoredAfterwards() throws {
    let turns = try [Turn](messages: messages("human", "human", "gpt", "gpt"))
    #expect(pairs(turns) == [["0", "1"], ["2", "3"]])
  }

  @Test func unpairedMessagesThrow() {
    #expect(throws: ConversationError.oddCount(3, ofMessages: 3)) {
      try [Turn](messages: messages("human", "gpt", "human"))
    }
    #expect(throws: ConversationError.oddCount(1, ofMessages: 2)) {
      try [Turn](messages: messages("gpt", "human"))
    }
    #expect(throws: ConversationError.empty(messages: 1)) {
      try [Turn](messages: messages("gpt"))
    }
    #expect(throws: ConversationError.empty(messages: 0)) { try [Turn](messages: []) }
  }
}
