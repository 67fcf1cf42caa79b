import Foundation
import MaTVLMTestSupport
import Testing

/// The built program while it runs, to be disturbed.
final class RunningCommand {
  private let process = Process()
  /// Outside of what a test looks at.
  private let messages: TemporaryFolder
  private var errorFile: URL { messages["stderr"] }

  /// Starts `matvlm` in a workplace; what it says to people goes to a file elsewhere.
  ///
  /// - Parameter asNobody: as a user whom the system can refuse something, if this one is root.
  init(_ arguments: [String], in workplace: Workplace, asNobody: Bool = false) throws {
    messages = try TemporaryFolder()
    try Data().write(to: errorFile)
    let isDemoted = asNobody && getuid() == 0
    process.executableURL = isDemoted ? Self.demotion : try Command.program
    process.arguments =
      isDemoted
      ? ["--reuid=65534", "--regid=65534", "--clear-groups", try Command.program.path] + arguments
      : arguments
    process.currentDirectoryURL = workplace.folder.url
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    process.standardError = try FileHandle(forWritingTo: errorFile)
    try process.run()
  }

  deinit { if process.isRunning { process.terminate() } }

  private static let demotion = URL(filePath: "/usr/bin/setpriv")

  /// Whether ``init(_:in:asNobody:)`` can keep its word.
  static let canBeRefused =
    getuid() != 0 || FileManager.default.isExecutableFile(atPath: demotion.path)

  var errors: String { (try? String(contentsOf: errorFile, encoding: .utf8)) ?? "" }

  var isRunning: Bool { process.isRunning }

  func send(_ signal: Int32) { kill(process.processIdentifier, signal) }

  /// - Returns: the exit code, or the negative number of the signal that ended the program.
  func wait() -> Int32 {
    process.waitUntilExit()
    return process.terminationReason == .exit
      ? process.terminationStatus : -process.terminationStatus
  }

  /// Waits until `condition` holds.
  /// - Throws: when the program ends before, or nothing happens for a minute.
  func wait(until condition: () -> Bool) throws {
    for _ in 0..<60_000 {
      if condition() { return }
      try #require(process.isRunning, "it ended too early: \(errors)")
      usleep(1000)
    }
    Issue.record("nothing happened: \(errors)")
  }
}

extension Workplace {
  /// The names in `checkpoints/` of an output folder.
  func checkpoints(_ output: String = "student") -> [String] {
    let path = folder["\(output)/checkpoints"].path
    return ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [])
      .filter { $0.hasPrefix("step-") }.sorted()
  }

  /// Whether a run has put its whole result into an output folder and let go of it.
  func isFinished(_ output: String) -> Bool {
    let manager = FileManager.default
    return manager.fileExists(atPath: folder["\(output)/config.json"].path)
      && !manager.fileExists(atPath: folder["\(output)/run.lock"].path)
  }

  /// Every file of an output folder; the speed, which no two runs share, taken out of logs.
  func result(_ output: String) throws -> [String: Data] {
    let names = try FileManager.default.subpathsOfDirectory(atPath: folder[output].path)
    return try Dictionary(
      uniqueKeysWithValues: names.map { name in
        let place = folder["\(output)/\(name)"]
        if try place.resourceValues(forKeys: [.isDirectoryKey]).isDirectory == true {
          return (name, Data())
        }
        let data = try Data(contentsOf: place)
        guard name.hasPrefix("log.") else { return (name, data) }
        let text = String(decoding: data, as: UTF8.self)
        let speed = name == "log.csv" ? /(?m),[^,\n]*$/ : /(?m),"tokens_per_second":[^,}]*/
        return (name, Data(text.replacing(speed, with: "").utf8))
      })
  }

  /// The files by which two output folders differ.
  func differences(_ one: String, _ other: String) throws -> [String] {
    let (a, b) = (try result(one), try result(other))
    return Set(a.keys).union(b.keys).filter { a[$0] != b[$0] }.sorted()
  }
}
