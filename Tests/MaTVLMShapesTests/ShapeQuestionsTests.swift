import MaTVLMShapes
import Testing

@Suite struct ShapeQuestionsTests {
  private static let count = 4000
  private let dataset = ShapeDataset(seed: 5, split: .train)

  @Test(arguments: ShapeDataset.Split.allCases)
  func everyQuestionHasOneAnswerAndItIsGiven(_ split: ShapeDataset.Split) {
    let dataset = ShapeDataset(seed: 9, split: split)
    for index in 0..<Self.count {
      let scene = dataset.scene(index)
      for turn in dataset.conversation(index) {
        let right = Oracle(scene: scene).answers(to: turn.question)
        #expect(right == [turn.answer], "\(index): \(turn.question) \(turn.answer)")
      }
    }
  }

  @Test func asksSixDifferentQuestions() {
    for index in 0..<Self.count {
      let turns = dataset.conversation(index)
      #expect(turns.count == 6 && Set(turns.map(\.question)).count == 6)
      #expect(turns.contains { $0.ability == .caption })
    }
  }

  @Test func readsWhateverIsWritten() {
    var written = 0
    for index in 0..<Self.count {
      let readings = dataset.conversation(index).filter { $0.ability == .reading }
      guard dataset.scene(index).sign != nil else { continue }
      written += 1
      #expect(readings.count == 1 && readings[0].answer != "nothing")
    }
    #expect(abs(Double(written) / Double(Self.count) - 0.5) < 0.03)
  }

  /// Nothing is gained by guessing from the question's words.
  @Test func answersAreBalanced() {
    let turns = (0..<Self.count).flatMap(dataset.conversation)
    func shares(_ ability: ShapeAbility, of words: String = " ") -> [String: Double] {
      let answers = turns.filter { $0.ability == ability && $0.question.contains(words) }
        .map(\.answer)
      return Dictionary(grouping: answers) { $0 }
        .mapValues { Double($0.count) / Double(answers.count) }
    }
    for words in [" ", " red ", " circle?", " star?", " digit?", " letter?"] {
      let yes = shares(.existence, of: words)["yes"] ?? 0
      // The rarest are some 200 questions about a letter: a standard error of 0.035.
      #expect(abs(yes - 0.5) < (words == " " ? 0.04 : 0.12), "Is there a\(words): \(yes)")
    }
    let counts = shares(.count)
    #expect(Set(counts.keys) == ["0", "1", "2", "3"])
    for (number, share) in counts { #expect(abs(share - 0.25) < 0.05, "\(number): \(share)") }
    let read = shares(.reading).filter { $0.key != "nothing" }
    #expect(read.count == Glyph.all.count)
    #expect(read.values.max() ?? 1 < 1.5 * (read.values.min() ?? 0))
    let places = shares(.position, of: "Where")
    #expect(places.count == 9 && places.values.max() ?? 1 < 1.3 * (places.values.min() ?? 0))
    let colours = shares(.colour, of: "What")
    #expect(colours.count == 6 && colours.values.max() ?? 1 < 1.3 * (colours.values.min() ?? 0))
  }

  /// A tokenizer of a few hundred tokens can have every word whole; then a conversation is short.
  @Test func wordsAreFew() {
    let text = dataset.trainingText(count: Self.count)
    let words = Set(text.joined(separator: " ").split { !$0.isLetter && !$0.isNumber })
    #expect(words.count <= 75, "\(words.sorted())")
    let lengths = (0..<Self.count).map { index in
      dataset.conversation(index).map { pieces($0.question) + pieces($0.answer) }.reduce(0, +)
    }
    let mean = Double(lengths.reduce(0, +)) / Double(lengths.count)
    #expect(mean < 48, "\(mean) pieces, at most \(lengths.max()!)")
    #expect(lengths.max()! <= 64)
  }

  private func pieces(_ text: String) -> Int {
    text.split(separator: " ").count + text.count { ",.?".contains($0) }
  }
}
