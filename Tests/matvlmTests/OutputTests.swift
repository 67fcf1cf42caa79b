import Foundation
import Testing

@Suite("Where results are written")
struct OutputTests {
  /// Verbs that write a folder `out`, as short as they go.
  static let writers = [
    "convert --teacher teacher --output out",
    "distill --teacher teacher --data data.json --image-folder images --steps 1 --output out",
    "pretrain --pictures 8 --batch-size 4 --steps 1 --output out",
    "shapes --count 4 --output out",
  ].map { $0.split(separator: " ").map(String.init) }

  @Test(
    "A disk that fills up leaves nothing, whenever it does", arguments: writers, [1, 8, 100])
  func fullDisk(_ arguments: [String], blocks: Int) throws {
    // Pictures of shapes and their questions are small; messages must fit.
    let blocks = arguments[0] == "shapes" ? min(blocks, 1) : blocks
    let workplace = try Workplace()
    let before = try workplace.content
    try workplace.run(arguments, fileLimit: blocks)
      .expectFailure(Command.unwritableOutput, ["/out", "File too large"])
    #expect(try workplace.content == before)
  }

  @Test("The folder that is to hold the result must exist and be a folder", arguments: writers)
  func parent(_ arguments: [String]) throws {
    let workplace = try Workplace()
    let before = try workplace.content
    for place in ["nowhere/out", "data.json/out", "/proc/out"] {
      try workplace.run(arguments.dropLast() + [place])
        .expectFailure(Command.unwritableOutput, [String(place.split(separator: "/")[0])])
      #expect(try workplace.content == before)
    }
  }

  @Test("A file or somebody's folder is never replaced", arguments: writers)
  func occupied(_ arguments: [String]) throws {
    let workplace = try Workplace()
    try workplace.folder.write("out/precious.txt", Data("mine".utf8))
    let before = try workplace.content
    let forced = arguments[0] == "shapes" ? arguments : arguments + ["--overwrite"]
    for line in [arguments, forced] {
      try workplace.run(line).expectFailure(Command.unwritableOutput, ["out"])
    }
    try workplace.run(arguments.dropLast() + ["data.json"])
      .expectFailure(Command.unwritableOutput, ["data.json"])
    #expect(try workplace.content == before)
    #expect(try workplace.text("out/precious.txt") == "mine")
  }

  @Test("An earlier result is replaced only when asked to", arguments: writers.prefix(3))
  func overwrite(_ arguments: [String]) throws {
    let workplace = try Workplace()
    _ = try workplace.run(arguments).requireSuccess()
    let first = try workplace.content
    try workplace.folder.write("out/note.txt", Data())
    try workplace.run(arguments).expectFailure(Command.unwritableOutput, ["out", "--overwrite"])
    _ = try workplace.run(arguments + ["--overwrite"]).requireSuccess()
    #expect(try workplace.content == first)
  }

  @Test("A run that fails brings the earlier result back")
  func restored() throws {
    let workplace = try Workplace()
    _ = try workplace.distill("--steps", "1").requireSuccess()
    let (content, log) = (try workplace.content, try workplace.text("student/log.jsonl"))
    try FileManager.default.removeItem(at: workplace.folder["images/b.jpg"])
    try workplace.distill("--steps", "4", "--no-shuffle", "--overwrite")
      .expectFailure(Command.unusableInput, ["sample 1"])
    #expect(try workplace.content == content.filter { $0 != "images/b.jpg" })
    #expect(try workplace.text("student/log.jsonl") == log)
    try workplace.distill(
      "--steps", "4", "--broken-samples", "skip", "--overwrite", fileLimit: 100
    )
    .expectFailure(Command.unwritableOutput, ["student"])
    #expect(try workplace.text("student/log.jsonl") == log)
  }

  @Test(
    "A full standard output is noticed",
    arguments: ["info teacher", "generate --model teacher --prompt hi --max-tokens 3"])
  func standardOutput(_ line: String) throws {
    let workplace = try Workplace()
    try workplace.run(line.split(separator: " ").map(String.init), outputFile: "/dev/full")
      .expectFailure(Command.unwritableOutput, ["standard output", "No space left"])
  }
}
