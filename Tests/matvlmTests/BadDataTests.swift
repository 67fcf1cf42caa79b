import Foundation
import Testing

/// A data file, or a picture that it names, which cannot be used.
struct SpoiledData: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let words: [String]
  let spoil: @Sendable (Workplace) throws -> Void

  private init(
    _ name: String, _ words: [String], _ spoil: @escaping @Sendable (Workplace) throws -> Void
  ) {
    (testDescription, self.words, self.spoil) = (name, words, spoil)
  }

  /// The data file is another one.
  private static func file(_ name: String, _ content: String, _ words: [String]) -> Self {
    Self(name, ["data.json"] + words) { try $0.folder.write("data.json", Data(content.utf8)) }
  }

  /// The first sample names another picture.
  private static func picture(_ name: String, _ path: String, _ words: [String]) -> Self {
    Self(name, ["sample 0"] + words) { try $0.edit("data.json", "a.png", path) }
  }

  /// The first sample's picture has other bytes.
  private static func bytes(_ name: String, _ bytes: Data) -> Self {
    Self(name, ["sample 0", "a.png"]) { try $0.folder.write("images/a.png", bytes) }
  }

  /// Of the data file as a whole: nothing can be skipped.
  static let files = [
    Self("file missing", ["data.json"]) {
      try FileManager.default.removeItem(at: $0.folder["data.json"])
    },
    file("not JSON", "id,image\n1,a.png\n", ["JSON"]),
    file("JSON, but no list", #"{"id": "1"}"#, ["list"]),
    file("a list of other things", "[1, 2]", ["list"]),
    file("empty list", "[]", ["empty"]),
  ]

  /// Of one sample: an option decides whether the run goes on.
  static let samples = [
    picture("path climbs out of the folder", "../data.json", ["../data.json", "images"]),
    picture("path is absolute", "/etc/hostname", ["/etc/hostname", "images"]),
    picture("picture missing", "nothing.png", ["nothing.png"]),
    Self("link leads out of the folder", ["sample 0", "out.png"]) {
      try FileManager.default.createSymbolicLink(
        at: $0.folder["images/out.png"], withDestinationURL: $0.folder["data.json"])
      try $0.edit("data.json", "a.png", "out.png")
    },
    bytes("picture empty", Data()),
    bytes("picture is a text", Data("not a picture\n".utf8)),
    bytes("picture is a start only", Data([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0, 0])),
    Self("odd turns", ["sample 0", "odd"]) {
      try $0.edit(
        "data.json", #"three left right chat""#,
        #"three left right chat"}, {"from": "human", "value": "x""#)
    },
    Self("no turns", ["sample 0"]) {
      let data = #"[{"id": "0", "conversations": []}]"#
      try $0.folder.write("data.json", Data(data.utf8))
    },
    Self("no conversations", ["sample 0", "conversations"]) {
      try $0.folder.write("data.json", Data(#"[{"id": "0", "image": "a.png"}]"#.utf8))
    },
    Self("a picture without <image>", ["sample 0", "<image>"]) {
      try $0.edit("data.json", #"<image>\nthree"#, "three")
    },
  ]
}

@Suite("Data and pictures that cannot be used")
struct BadDataTests {
  @Test(
    "distill names what is wrong, and writes nothing",
    arguments: SpoiledData.files + SpoiledData.samples)
  func stops(_ data: SpoiledData) throws {
    let workplace = try Workplace()
    try data.spoil(workplace)
    let before = try workplace.content
    try workplace.distill("--steps", "4", "--no-shuffle")
      .expectFailure(Command.unusableInput, data.words)
    #expect(try workplace.content == before)
  }

  @Test(
    "By option a sample that cannot be used is reported and passed over",
    arguments: SpoiledData.samples.filter { !$0.testDescription.hasPrefix("no ") })
  func skips(_ data: SpoiledData) throws {
    let workplace = try Workplace()
    try data.spoil(workplace)
    let command = try workplace.distill("--steps", "4", "--no-shuffle", "--broken-samples", "skip")
      .requireSuccess()
    #expect(data.words.filter { !command.errors.contains($0) } == [])
    #expect(try workplace.text("student/log.jsonl").split(separator: "\n").count == 4)
  }

  @Test("A run without any usable sample ends, and leaves nothing")
  func allBroken() throws {
    let workplace = try Workplace()
    let samples = (1...3).map { #"{"id": "\#($0)", "image": "none.png", "conversations": []}"# }
    try workplace.folder.write("data.json", Data("[\(samples.joined(separator: ","))]".utf8))
    let before = try workplace.content
    try workplace.distill("--steps", "2", "--broken-samples", "skip")
      .expectFailure(Command.unusableInput, ["none of the 3 samples"])
    #expect(try workplace.content == before)
  }

  static let unusablePictures: [(name: String, bytes: Data?, words: [String])] = [
    ("missing.png", nil, ["missing.png"]), ("empty.png", Data(), ["empty.png", "empty"]),
    ("text.png", Data("hello, I am a text".utf8), ["text.png", "JPEG or PNG"]),
    ("cut.jpg", Data([0xFF, 0xD8, 0xFF, 0xE0, 0, 16]), ["cut.jpg", "JPEG"]),
  ]

  @Test("generate names the picture that cannot be used", arguments: unusablePictures)
  func pictures(_ picture: (name: String, bytes: Data?, words: [String])) throws {
    let workplace = try Workplace()
    if let bytes = picture.bytes { try workplace.folder.write(picture.name, bytes) }
    try workplace.run(
      "generate", "--model", "teacher", "--image", picture.name, "--prompt", "what is it"
    ).expectFailure(Command.unusableInput, picture.words)
  }

  @Test("A raw prompt and its pictures must match")
  func placeholders() throws {
    let workplace = try Workplace()
    try workplace.run(
      "generate", "--model", "teacher", "--image", "images/a.png", "--raw", "--prompt", "what"
    ).expectFailure(Command.unusableInput, ["0 <image>", "1 pictures"])
    try workplace.run("generate", "--model", "teacher", "--raw", "--prompt", "<image> what")
      .expectFailure(Command.unusableInput, ["1 <image>", "0 pictures"])
    try workplace.run("generate", "--model", "teacher", "--raw", "--prompt", "")
      .expectFailure(Command.unusableInput, ["no tokens"])
  }
}
