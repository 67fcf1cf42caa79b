import Foundation
import MaTVLMText
import Testing

@Suite struct BytePairTrainerTests {
  struct Case: Decodable {
    let texts: [String]
    let vocabulary: [String: Int]
    let merges: [[String]]
  }

  @Test func learnsWhatHuggingFaceLearns() throws {
    let golden: Case = try Fixtures.decode("trainer_case.json")
    let tokenizer = try BytePairTrainer(vocabularySize: 300).train(on: golden.texts)
    #expect(tokenizer.vocabularySize == golden.vocabulary.count)
    for (token, id) in golden.vocabulary { #expect(tokenizer.token(for: id) == token) }
    try Fixtures.withDirectory { directory in
      try tokenizer.write(to: directory)
      let merges = try String(
        contentsOf: directory.appendingPathComponent("merges.txt"), encoding: .utf8)
      let lines = golden.merges.map { $0.joined(separator: " ") }
      #expect(merges == (["#version: 0.2"] + lines).joined(separator: "\n") + "\n")
    }
  }

  @Test func theSameTextGivesTheSameFiles() throws {
    let golden: Case = try Fixtures.decode("trainer_case.json")
    let trainer = BytePairTrainer(vocabularySize: 280, addedTokens: ["  ", "\t\t"])
    func files() throws -> [Data] {
      try Fixtures.withDirectory { directory in
        try trainer.train(on: golden.texts).write(to: directory)
        return try Tokenizer.files(in: directory).map { try Data(contentsOf: $0) }
      }
    }
    #expect(try files() == files())
  }

  @Test func shortTextLearnsFewTokens() throws {
    let tokenizer = try BytePairTrainer(vocabularySize: 5000, addedTokens: ["<image>"])
      .train(on: ["abab abab"])
    #expect(tokenizer.vocabularySize == 260)  // end of text, bytes, ab, abab, <image>
    #expect(tokenizer.encode("abab<image>é").count == 4)
    #expect(tokenizer.decode(tokenizer.encode("abab<image>é")) == "abab<image>é")
  }

  @Test func aRepeatedAddedTokenThrows() {
    #expect(throws: TokenizerError.self) {
      try BytePairTrainer(vocabularySize: 257, addedTokens: ["xx", "xx"]).train(on: [])
    }
  }
}
