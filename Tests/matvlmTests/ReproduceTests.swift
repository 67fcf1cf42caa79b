import Foundation
import MaTVLMTestSupport
import Testing

@Suite(
  "Scripts/reproduce",
  .enabled(if: Command.hasEmbeddedTeacher, "the embedded teacher is not in this build"))
struct ReproduceTests {
  private static let script = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Scripts/reproduce")

  /// Starts the script with two rows, two updates and few pictures.
  private static func start(_ folder: TemporaryFolder, _ options: String...) throws -> Process {
    let process = Process()
    process.executableURL = script
    process.arguments =
      [
        "--program", try Command.program.path, "--output", folder["out"].path, "--seeds", "1",
        "--rows", "even-12.5,end", "--updates", "2", "--pictures", "4", "--parallel", "1",
      ] + options
    let messages = folder["messages"]
    if !FileManager.default.fileExists(atPath: messages.path) { try Data().write(to: messages) }
    let handle = try FileHandle(forWritingTo: messages)
    try handle.seekToEnd()
    (process.standardOutput, process.standardError) = (handle, handle)
    try process.run()
    return process
  }

  private static func finish(_ process: Process, _ folder: TemporaryFolder) throws -> String {
    process.waitUntilExit()
    let messages = try String(contentsOf: folder["messages"], encoding: .utf8)
    try #require(process.terminationStatus == 0, "\(messages)")
    return messages
  }

  private static func made(_ folder: TemporaryFolder, _ row: String) throws -> Date {
    let path = folder["out/seed-1/\(row)/model.safetensors"].path
    let attributes = try FileManager.default.attributesOfItem(atPath: path)
    return try #require(attributes[.modificationDate] as? Date)
  }

  @Test(
    "Stopped and started again it keeps what is done; a run that is not what is asked is redone")
  func resumed() throws {
    let folder = try TemporaryFolder()
    let process = try Self.start(folder)
    let first = folder["out/seed-1/even-12.5/config.json"].path
    while !FileManager.default.fileExists(atPath: first) {
      try #require(process.isRunning, "it ended before its first student was there")
      usleep(10_000)
    }
    process.terminate()
    process.waitUntilExit()
    #expect(process.terminationStatus == 130)
    #expect(!FileManager.default.fileExists(atPath: folder["out/tables.md"].path))
    let before = try Self.made(folder, "even-12.5")

    _ = try Self.finish(Self.start(folder), folder)
    #expect(try Self.made(folder, "even-12.5") == before)
    try check(folder)

    // As if this folder held a run of another length.
    let file = folder["out/seed-1/end/run.yaml"]
    let settings = try String(contentsOf: file, encoding: .utf8)
    try Data(settings.replacing("steps: 2\n", with: "steps: 3\n").utf8).write(to: file)
    let end = try Self.made(folder, "end")
    _ = try Self.finish(Self.start(folder), folder)
    #expect(try Self.made(folder, "even-12.5") == before)
    #expect(try Self.made(folder, "end") > end)
    #expect(try String(contentsOf: file, encoding: .utf8) == settings)
    try check(folder)
  }

  private func check(_ folder: TemporaryFolder) throws {
    let tables = try String(contentsOf: folder["out/tables.md"], encoding: .utf8)
    #expect(tables.contains("after 2 updates of 8 pictures, on 4 held-out pictures"))
    #expect(tables.contains("| model | MME | TextVQA | GQA | POPE |\n"))
    #expect(tables.contains("| teacher | 100.0 | 100.0 | 100.0 | 100.0 | 100.0 |\n"))
    let report = try String(contentsOf: folder["out/report/report.html"], encoding: .utf8)
    for name in ["teacher", "even-12.5", "end"] {
      // With benchmarks, with abilities, and asked late.
      #expect(report.components(separatedBy: "<tr><th>\(name)</th>").count == 4, "\(name)")
    }
  }

  @Test("Rows that do not exist are refused")
  func refused() throws {
    let folder = try TemporaryFolder()
    let process = try Self.start(folder, "--rows", "sideways")
    process.waitUntilExit()
    #expect(process.terminationStatus == 2)
    #expect(try String(contentsOf: folder["messages"], encoding: .utf8).contains("sideways"))
    #expect(!FileManager.default.fileExists(atPath: folder["out"].path))
  }
}
