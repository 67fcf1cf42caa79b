import Foundation
import MaTVLMTestSupport
import Testing

/// The built program, run as people run it.
struct Command {
  let status: Int32
  let output: String
  let errors: String

  /// Runs `matvlm` with `arguments` in `folder`.
  ///
  /// - Parameters:
  ///   - fileLimit: no file may grow beyond so many blocks of 512 bytes; a disk that fills up looks
  ///     the same to the program.
  ///   - outputFile: where standard output goes in place of `output`.
  ///   - input: what standard input has.
  init(
    _ arguments: String..., in folder: TemporaryFolder, fileLimit: Int? = nil,
    outputFile: String? = nil, input: String = ""
  ) throws {
    try self.init(
      arguments, in: folder, fileLimit: fileLimit, outputFile: outputFile, input: input)
  }

  init(
    _ arguments: [String], in folder: TemporaryFolder, fileLimit: Int? = nil,
    outputFile: String? = nil, input: String = "", environment: [String: String] = [:]
  ) throws {
    let process = Process()
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.executableURL = URL(filePath: "/bin/sh")
    let limit = fileLimit.map { "ulimit -f \($0) && " } ?? ""
    let redirection = outputFile.map { " > \($0)" } ?? ""
    process.arguments =
      ["-c", "\(limit)\"$0\" \"$@\"\(redirection)", try Self.program.path] + arguments
    process.currentDirectoryURL = folder.url
    // Files, because two pipes that are read one after the other can fill up.
    let files = try TemporaryFolder()
    let (out, err) = (files["out"], files["err"])
    for file in [out, err] { try Data().write(to: file) }
    process.standardInput = try FileHandle(forReadingFrom: files.write("in", Data(input.utf8)))
    process.standardOutput = try FileHandle(forWritingTo: out)
    process.standardError = try FileHandle(forWritingTo: err)
    try process.run()
    process.waitUntilExit()
    status = process.terminationReason == .exit ? process.terminationStatus : -1
    output = try String(contentsOf: out, encoding: .utf8)
    errors = try String(contentsOf: err, encoding: .utf8)
  }

  /// Resources lie in the build folder, beside the program.
  private static let buildFolder = Golden.folder.deletingLastPathComponent()
    .deletingLastPathComponent()

  static var program: URL {
    get throws {
      let program = buildFolder.appending(path: "matvlm")
      return try #require(
        FileManager.default.isExecutableFile(atPath: program.path) ? program : nil,
        "\(program.path) has not been built")
    }
  }

  /// Whether the embedded teacher lies beside the program.
  static let hasEmbeddedTeacher: Bool = {
    let folder =
      buildFolder
      .appending(path: "MaTVLM_MaTVLMShapes.resources/teacher/config.json")
    return FileManager.default.fileExists(atPath: folder.path)
  }()

  /// The object that was printed.
  func object() throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any])
  }

  /// The command did what it was asked to.
  func requireSuccess() throws -> Command {
    try #require(status == 0, "exit code \(status): \(errors)")
    return self
  }

  /// The command failed as documented: this code, every one of `words` on standard error, and
  /// nothing on standard output.
  func expectFailure(
    _ code: Int32, _ words: [String], sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(status == code, "\(errors)", sourceLocation: sourceLocation)
    for word in words where !errors.contains(word) {
      Issue.record("no '\(word)' in: \(errors)", sourceLocation: sourceLocation)
    }
    #expect(output == "", sourceLocation: sourceLocation)
  }
}

extension Command {
  static let wrongCommandLine: Int32 = 64
  static let unusableInput: Int32 = 65
  static let unwritableOutput: Int32 = 73
}
