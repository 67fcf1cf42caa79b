import Foundation
import MaTVLMImages
import MaTVLMShapes
import MaTVLMTestSupport
import Testing

@Suite struct ShapeBenchmarkFilesTests {
  private static let count = 60
  private let folder: TemporaryFolder
  private let heldOut = ShapeDataset(seed: 4, split: .heldOut)

  init() throws {
    folder = try TemporaryFolder()
    try ShapeDataset.write(
      to: folder["shapes"], seed: 4, trainCount: 1, heldOutCount: Self.count, benchmarks: true)
  }

  private func lines(_ path: String) throws -> [[String: String]] {
    try String(contentsOf: folder["shapes/\(path)"], encoding: .utf8).split(separator: "\n")
      .map { try JSONDecoder().decode([String: String].self, from: Data($0.utf8)) }
  }

  /// Right answers to a question about the picture whose file has this name, any folders before it.
  private func answers(_ question: String, _ picture: String) throws -> Set<String> {
    let name = (picture as NSString).lastPathComponent
    let index = try #require(Int(name.prefix(6)))
    return Oracle(scene: heldOut.scene(index)).answers(to: question)
  }

  @Test func labelsOfPOPEAreRightAndEven() throws {
    let questions = try lines("pope/llava_pope_test.jsonl")
    #expect(Set(questions.compactMap { $0["question_id"] }).count == 6 * Self.count)
    for category in ["random", "popular", "adversarial"] {
      let labels = try lines("pope/coco/coco_pope_\(category).json")
      #expect(labels.count { $0["label"] == "yes" } == Self.count)
      #expect(labels.count { $0["label"] == "no" } == Self.count)
      let asked = questions.filter { $0["category"] == category }
      #expect(asked.map { $0["text"] } == labels.map { $0["text"] })
      for label in labels {
        let (text, picture) = (try #require(label["text"]), try #require(label["image"]))
        #expect(try answers(text, picture) == [label["label"]])
        let image = try ImageFolder(folder["shapes/pope/val2014"]).image(picture)
        #expect(image.width == 48)
      }
    }
  }

  @Test func pairsOfMMEHaveAYesAndANo() throws {
    let questions = try lines("mme/llava_mme.jsonl")
    let root = "shapes/mme/MME_Benchmark_release_version"
    for (picture, pair) in Dictionary(grouping: questions, by: { $0["question_id"]! }) {
      let texts = pair.compactMap { $0["text"] }
      #expect(try texts.map { try answers($0, picture) } == [["yes"], ["no"]])
      let truth = folder["\(root)/\(picture.replacing(".png", with: ".txt"))"]
      #expect(
        try String(contentsOf: truth, encoding: .utf8)
          == "\(texts[0]) Please answer yes or no.\tYes\n\(texts[1]) Please answer yes or no.\tNo\n"
      )
    }
    #expect(Set(questions.map { $0["category"] }) == ["existence", "color", "OCR"])
    #expect(questions.count { $0["category"] == "color" } == 2 * Self.count)
  }

  @Test func answersOfGQAAndTextVQAAreRight() throws {
    let gqa = try #require(
      try JSONSerialization.jsonObject(
        with: Data(contentsOf: folder["shapes/gqa/data/testdev_balanced_questions.json"]))
        as? [String: [String: Any]])
    let asked = try lines("gqa/llava_gqa_testdev_balanced.jsonl")
    #expect(Set(asked.compactMap { $0["question_id"] }) == Set(gqa.keys) && gqa.count > Self.count)
    for (_, annotation) in gqa {
      let question = try #require(annotation["question"] as? String)
      let answer = try #require(annotation["answer"] as? String)
      #expect(try answers(question, #require(annotation["imageId"] as? String)) == [answer])
      let types = annotation["types"] as? [String: String]
      #expect((types?["structural"] == "verify") == ["yes", "no"].contains(answer))
    }
    let textvqa = try #require(
      try JSONSerialization.jsonObject(
        with: Data(contentsOf: folder["shapes/textvqa/TextVQA_0.5.1_val.json"])) as? [String: Any])
    let data = try #require(textvqa["data"] as? [[String: Any]])
    #expect(try lines("textvqa/llava_textvqa_val_v051_ocr.jsonl").count == data.count)
    for annotation in data {
      let question = try #require(annotation["question"] as? String)
      let right = try answers(question, #require(annotation["image_id"] as? String))
      #expect(annotation["answers"] as? [String] == Array(repeating: right.first!, count: 10))
    }
  }

  @Test func conversationsOfAnyLengthHaveDifferentQuestions() {
    for turns in [7, ShapeDataset.turnLimits.upperBound] {
      let dataset = ShapeDataset(seed: 2, split: .train, turns: turns)
      for index in 0..<300 {
        let conversation = dataset.conversation(index)
        #expect(conversation.count == turns && Set(conversation.map(\.question)).count == turns)
        for turn in conversation {
          let right = Oracle(scene: dataset.scene(index)).answers(to: turn.question)
          #expect(right == [turn.answer], "\(index): \(turn.question) \(turn.answer)")
        }
      }
    }
  }

  @Test func whatIsAskedLateWasNotSaidBefore() throws {
    for index in 0..<300 {
      let scene = heldOut.scene(index)
      let turns = heldOut.needle(index, after: 12)
      #expect((turns == nil) == (scene.sign == nil))
      guard let turns else { continue }
      #expect(turns.count == 13 && turns.last == heldOut.needle(index, after: 0)?.last)
      #expect(turns.last?.answer == scene.sign.map { String($0.glyph.character) })
      for turn in turns.dropLast() {
        #expect(Oracle(scene: scene).answers(to: turn.question) == [turn.answer])
        for word in ["digit", "letter", "written"] {
          #expect(!(turn.question + turn.answer).contains(word))
        }
      }
    }
  }
}
