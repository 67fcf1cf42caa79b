import MaTVLMText
import Testing

@Suite struct PromptTemplateTests {
  struct Sample: Decodable {
    let prompt: String
    let ids: [Int]
    let labels: [Int]
  }

  struct Generation: Decodable {
    struct Answer: Decodable {
      let ids: [Int]
      let text: String
    }
    let question: String
    let prompt: String
    let promptIDs: [Int]
    let teacher: Answer

    enum CodingKeys: String, CodingKey {
      case question, prompt, teacher
      case promptIDs = "prompt_ids"
    }
  }

  struct Cases: Decodable {
    let samples: [Sample]
    let generations: [Generation]
  }

  struct Item: Decodable {
    let conversations: [Message]
  }

  static let system =
    "A chat between a curious user and an artificial intelligence assistant. "
    + "The assistant gives helpful, detailed, and polite answers to the user's questions. "

  @Test func samplesAgreeWithTheAuthors() throws {
    let tokenizer = try Fixtures.tokenizer()
    let cases: Cases = try Fixtures.decode("prompt_cases.json")
    let items: [Item] = try Fixtures.decode("data.json")
    #expect(cases.samples.count == 8 && items.count == 8)
    for (item, sample) in zip(items, cases.samples) {
      let text = PromptTemplate.phi.trainingText(try [Turn](messages: item.conversations))
      #expect(sameScalars(text, sample.prompt))
      let ids = PromptTemplate.phi.encode(text, with: tokenizer)
      #expect(ids == sample.ids)
      let labels = try PromptTemplate.phi.labels(for: text, ids: ids, tokenizer: tokenizer)
      #expect(labels == sample.labels)
    }
  }

  @Test func generationPromptsAgreeWithTheAuthors() throws {
    let tokenizer = try Fixtures.tokenizer()
    let cases: Cases = try Fixtures.decode("prompt_cases.json")
    #expect(cases.generations.count == 4)
    for golden in cases.generations {
      let text = PromptTemplate.phi.generationText([Turn(question: golden.question)])
      #expect(sameScalars(text, golden.prompt))
      #expect(PromptTemplate.phi.encode(text, with: tokenizer) == golden.promptIDs)
      let answer = tokenizer.decode(golden.teacher.ids, skippingSpecialTokens: true)
      #expect(sameScalars(answer, golden.teacher.text))
    }
  }

  @Test(arguments: [
    ("what is it", "what is it"), (" kept as it is ", " kept as it is "),
    ("<image>", "<image>"), ("<image>\nwhat", "<image>\nwhat"), ("what\n<image>", "<image>\nwhat"),
    ("<image> a <image>\n b <image>", "<image>\na \n b"), ("<image>\u{301}x", "<image>\n\u{301}x"),
    ("\u{1C}<image>\u{A0}x\u{2028}", "<image>\nx"),
  ])
  func theImageComesFirst(question: String, written: String) {
    let text = PromptTemplate.phi.trainingText([Turn(question: question, answer: "yes")])
    #expect(
      sameScalars(text, Self.system + "USER: " + written + " ASSISTANT: yes<|endoftext|>"))
  }

  @Test func laterTurnsFollowWithoutSpace() {
    let turns = [Turn(question: "a", answer: "b"), Turn(question: "c")]
    #expect(
      PromptTemplate.phi.generationText(turns)
        == Self.system + "USER: a ASSISTANT: b<|endoftext|>USER: c ASSISTANT:")
  }

  @Test(arguments: [
    [Turn(question: "who is USER: ASSISTANT: here", answer: "me")],
    [Turn(question: "who", answer: "the ASSISTANT: me")],
    [Turn(question: "who<|endoftext|>", answer: "me")],
    [Turn(question: "a", answer: "b"), Turn(question: "c", answer: "d ASSISTANT: e")],
  ])
  func separatorsInSpeechVoidTheSample(turns: [Turn]) throws {
    let tokenizer = try Fixtures.tokenizer()
    let text = PromptTemplate.phi.trainingText(turns)
    let ids = PromptTemplate.phi.encode(text, with: tokenizer)
    let error = try #require(throws: LabelMismatch.self) {
      try PromptTemplate.phi.labels(for: text, ids: ids, tokenizer: tokenizer)
    }
    #expect(error.tokens == ids.count)
    #expect(error.accountedFor < ids.count)
  }

  /// Past the length at which a sample is cut, the authors do not check.
  @Test func longSamplesAreNotChecked() throws {
    let tokenizer = try Fixtures.tokenizer()
    let turns = [
      Turn(question: "a", answer: "b"), Turn(question: "c", answer: "d ASSISTANT: e"),
    ]
    let text = PromptTemplate.phi.trainingText(turns)
    let ids = PromptTemplate.phi.encode(text, with: tokenizer)
    let labels = try PromptTemplate.phi.labels(
      for: text, ids: ids, tokenizer: tokenizer, maximumLength: 8)
    let answer = tokenizer.encode(" b") + [tokenizer.endOfText]
    #expect(labels.filter { $0 != PromptTemplate.ignoredLabel } == answer)
  }

  @Test func captionsAreLearnedWhole() throws {
    let tokenizer = try Fixtures.tokenizer()
    let turns = [Turn(question: "<image>", answer: "a red circle")]
    let text = PromptTemplate.pretrain.trainingText(turns)
    #expect(text == "<image>a red circle\n")
    let caption = tokenizer.encode("a red circle\n")
    let ids = PromptTemplate.pretrain.encode(text, with: tokenizer)
    #expect(ids == [-200] + caption)
    let labels = try PromptTemplate.pretrain.labels(for: text, ids: ids, tokenizer: tokenizer)
    #expect(labels == [-100] + caption)
    #expect(PromptTemplate.pretrain.generationText([Turn(question: "")]) == "<image>")
  }
}
