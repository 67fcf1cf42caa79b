import Foundation
import MaTVLMCore
import MaTVLMTestSupport
import Testing

@Suite("LLaVA data files, whole and broken")
struct LLaVADatasetTests {
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    for name in ["a.png", "c.jpg"] {
      try folder.write(
        "images/\(name)", try Data(contentsOf: GoldenModels.folder("images/\(name)")))
    }
    try folder.write("images/text.png", Data("this is no picture".utf8))
    try folder.write("images/empty.jpg", Data())
    try folder.write("secret.png", try Data(contentsOf: GoldenModels.folder("images/h.png")))
  }

  private func dataset(_ json: String) throws -> LLaVADataset {
    try LLaVADataset(
      file: folder.write("data.json", Data(json.utf8)), imageFolder: folder["images"])
  }

  private static let turns = #"[{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]"#

  /// The error of a sample with this id and these members.
  private func problem(_ members: String, id: String = #""id": "x7""#) throws -> SampleError? {
    let data = try dataset("[{\(id), \(members)}]")
    do {
      _ = try data.sample(0)
      return nil
    } catch {
      return try #require(error as? SampleError)
    }
  }

  @Test("samples with a picture and without, ids as text or number or not at all")
  func whole() throws {
    let data = try dataset(
      """
      [{"id": "one", "image": "a.png", "conversations": [
         {"from": "human", "value": "<image>\\nwhat"}, {"from": "gpt", "value": "red"}]},
       {"id": 12, "conversations": \(Self.turns), "source": {"unknown": [1, 2]}},
       {"conversations": \(Self.turns)},
       {"id": "four", "image": null, "conversations": \(Self.turns)}]
      """)
    #expect(data.count == 4)
    let first = try data.sample(0)
    #expect(first.id == "one" && first.turns.map(\.answer) == ["red"])
    #expect(first.turns.map(\.question) == ["<image>\nwhat"])
    #expect(first.picture == (try GoldenModels.picture("a.png")))
    #expect(try data.sample(1).id == "12" && data.sample(1).picture == nil)
    #expect(try data.sample(2).id == "number 2" && data.sample(3).picture == nil)
  }

  @Test(
    "a broken sample is named, and why",
    arguments: [
      (#""image": "nowhere.png", "conversations": "# + turns, "nowhere.png"),
      (#""image": "../secret.png", "conversations": "# + turns, "outside"),
      (#""image": "x/../../secret.png", "conversations": "# + turns, "secret.png"),
      (#""image": "/etc/hostname", "conversations": "# + turns, "absolute"),
      (#""image": "text.png", "conversations": "# + turns, "text.png"),
      (#""image": "empty.jpg", "conversations": "# + turns, "empty"),
      (#""image": 5, "conversations": "# + turns, "conversations"),
      (#""conversations": []"#, "conversation"),
      (#""conversations": "hello""#, "conversations"),
      (#""conversations": [{"from": "human"}]"#, "conversations"),
      (#""conversations": [{"from": "human", "value": "q"}]"#, "odd"),
      (#""text": "no conversations""#, "conversations"),
    ])
  func broken(_ members: String, _ reason: String) throws {
    let error = try #require(try problem(members))
    #expect(error.id == "x7")
    #expect("\(error)".hasPrefix("sample x7: ") && error.reason.contains(reason), "\(error)")
    #expect(try problem(members, id: #""id": 3"#)?.id == "3")
    #expect(try problem(members, id: #""no": 1"#)?.id == "number 0")
  }

  @Test("a link that leads out of the folder")
  func link() throws {
    try FileManager.default.createSymbolicLink(
      at: folder["images/link.png"], withDestinationURL: folder["secret.png"])
    let error = try problem(#""image": "link.png", "conversations": "# + Self.turns)
    #expect(error?.reason.contains("outside") == true, "\(String(describing: error))")
  }

  @Test("files that are no list of samples")
  func files() throws {
    for json in ["", "not JSON", "{}", #"{"id": "1"}"#, "[1, 2]", #"["a"]"#, "[{]", "null"] {
      let error = #expect(throws: DatasetError.self) { try dataset(json) }
      guard case .unreadable(let file, _) = error else {
        Issue.record("\(json): \(String(describing: error))")
        continue
      }
      #expect(file == folder["data.json"].path)
    }
    #expect(throws: DatasetError.empty(file: folder["data.json"].path)) { try dataset("[]") }
    #expect(throws: DatasetError.self) {
      try LLaVADataset(file: folder["none.json"], imageFolder: folder["images"])
    }
  }

  @Test("pictures and placeholders match, or the sample is named")
  func placeholders() throws {
    let model = try GoldenModels.load("teacher")
    let picture = try GoldenModels.picture("h.png")
    func problem(_ questions: [String], _ picture: RGBImage?, answer: String = "yes") -> String? {
      let turns = questions.map { Turn(question: $0, answer: answer) }
      do {
        _ = try TrainingExample(
          TrainingSample(id: "s3", turns: turns, picture: picture), for: model)
        return nil
      } catch {
        return "\(error)"
      }
    }
    #expect(problem(["what"], nil) == nil && problem(["<image>\nwhat"], picture) == nil)
    // All placeholders of one question become one.
    #expect(problem(["<image> or <image>"], picture) == nil)
    for wrong in [
      problem(["what"], picture), problem(["<image>what"], nil),
      problem(["<image>a", "<image>b"], picture),
    ] {
      #expect(wrong?.hasPrefix("sample s3: ") == true && wrong?.contains("<image>") == true)
    }
    let confusing = problem(["what"], nil, answer: "she said ASSISTANT: yes")
    #expect(confusing?.hasPrefix("sample s3: ") == true && confusing?.contains("labels") == true)
  }
}
