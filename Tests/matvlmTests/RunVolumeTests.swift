import Foundation
import MaTVLMTestSupport
import Testing

@Suite("Output folders that fill up or are closed in the middle of a run", .serialized)
struct RunVolumeTests {
  @Test(
    "A disk that is full when a checkpoint or the result is written: freed, the run goes on",
    .enabled(if: Volume.isAvailable, "needs root and tmpfs"), arguments: [200_000, 900_000])
  func full(_ taken: Int) throws {
    let workplace = try Workplace()
    let volume = try Volume(at: workplace.folder["volume"], size: "3m")
    // What is left is too little for the model, or for the first checkpoint already.
    try workplace.folder.write("volume/other", Data(count: 3_000_000 - taken))
    let arguments =
      Workplace.distill + ["--steps", "12", "--checkpoint-interval", "4"]
      + ["--output", "volume/student"]
    let before = try workplace.content
    try workplace.run(arguments)
      .expectFailure(Command.unwritableOutput, ["volume/student", "No space left"])
    if workplace.checkpoints("volume/student").isEmpty {
      #expect(try workplace.content == before)
    }
    #expect(workplace.checkpoints("volume/student").isEmpty == (taken < 360_000))
    try FileManager.default.removeItem(at: workplace.folder["volume/other"])
    _ = try workplace.run(arguments).requireSuccess()
    _ = try workplace.run(arguments + ["--output", "whole"]).requireSuccess()
    #expect(try workplace.differences("volume/student", "whole") == [])
    volume.unmount()
  }

  @Test(
    "A folder that becomes read-only stops the run at its next checkpoint; opened, it goes on",
    .enabled(if: RunningCommand.canBeRefused, "root needs setpriv to be refused anything"))
  func readOnly() throws {
    let workplace = try Workplace()
    chmod(workplace.folder.url.path, 0o777)
    let arguments = Workplace.distill + ["--steps", "300", "--checkpoint-interval", "2"]
    let command = try RunningCommand(arguments, in: workplace, asNobody: true)
    try command.wait { workplace.checkpoints().count > 1 }
    let checkpoints = workplace.folder["student/checkpoints"].path
    chmod(checkpoints, 0o555)
    #expect(command.wait() == Command.unwritableOutput)
    #expect(command.errors.contains("Permission denied"), "\(command.errors)")
    #expect(command.errors.contains("is kept; the same command goes on"))
    chmod(checkpoints, 0o755)
    let second = try RunningCommand(arguments, in: workplace, asNobody: true)
    #expect(second.wait() == 0)
    #expect(second.errors.contains("going on with the unfinished run"))
    _ = try workplace.run(arguments + ["--output", "whole"]).requireSuccess()
    #expect(try workplace.differences("student", "whole") == [])
  }
}

/// A small file system in memory.
private final class Volume {
  private let url: URL

  /// Mounting takes root, and a machine that lets it.
  static let isAvailable: Bool = {
    guard getuid() == 0, let folder = try? TemporaryFolder(),
      let volume = try? Volume(at: folder["probe"], size: "1m")
    else { return false }
    volume.unmount()
    return true
  }()

  init(at url: URL, size: String) throws {
    self.url = url
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
    try Self.run("mount", "-t", "tmpfs", "-o", "size=\(size)", "tmpfs", url.path)
  }

  deinit { unmount() }

  func unmount() { try? Self.run("umount", "-l", url.path) }

  private static func run(_ arguments: String...) throws {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = arguments
    process.standardError = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw CocoaError(.featureUnsupported) }
  }
}
