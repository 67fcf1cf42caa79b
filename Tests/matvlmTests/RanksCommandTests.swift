import Foundation
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Runs that mpirun starts", .serialized, .enabled(if: RankedCommand.isThere))
struct RanksCommandTests {
  private func options(_ output: String) -> [String] {
    Workplace.distill + [
      "--steps", "21", "--batch-size", "2", "--gradient-accumulation", "2", "--seed", "3",
      "--held-out", "data.json", "--evaluation-interval", "7", "--threads", "1",
      "--checkpoint-interval", "20", "--keep-checkpoints", "--output", output,
    ]
  }

  /// ‖a − b‖ / ‖b‖ over what trains, after 20 updates of two runs.
  private func distance(_ one: String, _ other: String, in workplace: Workplace) throws -> Double {
    func values(_ output: String) throws -> [Float] {
      let file = try SafetensorsFile(
        workplace.folder["\(output)/checkpoints/step-000000020/parameters.safetensors"])
      return file.entries.flatMap { Array(file.bytes(of: $0).bindMemory(to: Float.self)) }
    }
    let (a, b) = (try values(one), try values(other))
    #expect(a.count == b.count && !a.isEmpty)
    let squares = zip(a, b).reduce(0) { $0 + pow(Double($1.0) - Double($1.1), 2) }
    return (squares / b.reduce(0) { $0 + pow(Double($1), 2) }).squareRoot()
  }

  @Test("The result of two and of four ranks is that of one process", arguments: [2, 4])
  func equality(_ ranks: Int) throws {
    let workplace = try Workplace()
    _ = try workplace.run(options("whole")).requireSuccess()
    let command = try RankedCommand(ranks, options("student"), in: workplace)
    #expect(command.wait() == 0, "\(command.errors)")
    let distance = try distance("student", "whole", in: workplace)
    #expect(distance < 1e-6, "\(distance)")
    let lines = try workplace.text("student/log.jsonl").split(separator: "\n")
    #expect(lines.count == 21, "one rank writes")
    #expect(try workplace.content.filter { $0.hasPrefix(".") } == [])
  }

  @Test("Mixers that every rank calibrates are those of one process, and are spoken of once")
  func calibrated() throws {
    let workplace = try Workplace()
    let seeding = [
      "--seeding", "calibrated", "--calibration-samples", "6", "--calibration-passes", "2",
    ]
    _ = try workplace.run(options("whole") + seeding).requireSuccess()
    let command = try RankedCommand(2, options("student") + seeding, in: workplace)
    #expect(command.wait() == 0, "\(command.errors)")
    let distance = try distance("student", "whole", in: workplace)
    #expect(distance < 1e-6, "\(distance)")
    #expect(command.errors.matches(of: /calibrating/).count == 1)
  }

  @Test("A plan says what each rank takes, once; a run without memory for all of them is refused")
  func plan() throws {
    let workplace = try Workplace()
    let plan = ["plan"] + options("student").dropFirst() + ["--json"]
    let command = try RankedCommand(2, plan, in: workplace)
    #expect(command.wait() == 0, "\(command.errors)")
    let lines = command.output.split(separator: "\n")
    #expect(lines.count == 1 && lines[0].contains(#""ranks":2"#), "\(lines)")
    let small = try RankedCommand(2, options("student") + ["--memory", "0.01"], in: workplace)
    #expect(small.wait() == Command.unusableInput, "\(small.errors)")
    #expect(small.errors.matches(of: /may take/).count == 1)
  }

  @Test("A killed rank ends the run with a message; it goes on with another number of ranks")
  func killed() throws {
    let workplace = try Workplace()
    _ = try workplace.run(options("whole")).requireSuccess()
    let arguments = options("student") + ["--checkpoint-interval", "1"]
    // Twenty updates would be over before anyone looks.
    let long = arguments + ["--steps", "100000", "--warmup-steps", "2", "--decay-steps", "2"]
    let command = try RankedCommand(2, long, in: workplace)
    try command.wait { workplace.checkpoints().count == 2 }
    let clock = ContinuousClock()
    let start = clock.now
    try command.kill(rank: 1)
    #expect(command.wait() != 0)
    #expect(clock.now - start < .seconds(30))
    #expect(command.errors.contains("rank 1") && command.errors.contains("signal 9"))
    let step = try #require(workplace.checkpoints().last)
    let again = try RankedCommand(3, long, in: workplace)
    try again.wait { workplace.checkpoints().contains { $0 > step } }
    again.send(SIGUSR1)
    #expect(again.wait() == 128 + SIGUSR1, "\(again.errors)")
    #expect(again.errors.contains("going on with the unfinished run"))
    #expect(again.errors.contains("stopped after update"))
  }

  @Test("What fails is said once, with the code that one process would have")
  func refused() throws {
    let workplace = try Workplace()
    let few = try RankedCommand(
      3, Workplace.distill + ["--steps", "1", "--batch-size", "2"], in: workplace)
    #expect(few.wait() == Command.wrongCommandLine, "\(few.errors)")
    #expect(few.errors.matches(of: /cannot be split over 3 processes/).count == 1)
    try workplace.edit("data.json", "b.jpg", "missing.jpg")
    let broken = try RankedCommand(2, options("student"), in: workplace)
    #expect(broken.wait() == Command.unusableInput, "\(broken.errors)")
    #expect(broken.errors.matches(of: /missing\.jpg/).count == 1)
    #expect(try !workplace.content.contains("student"))
  }
}

@Suite("Several processes and a program for one")
struct OneProcessProgramTests {
  @Test("It says how to build the other one")
  func refused() throws {
    let workplace = try Workplace()
    let command = try RankedCommand(
      ["PMIX_RANK=0", Command.program.path] + Workplace.distill + ["--steps", "1"], in: workplace)
    #expect(command.wait() == EXIT_FAILURE && command.errors.contains("--traits MPI"))
  }
}

/// The program built with the trait MPI, started as several ranks by `mpirun`.
final class RankedCommand {
  private let process = Process()
  private let errorFile: URL
  private let outputFile: URL

  /// Built by `Scripts/test` beside the one without the trait.
  private static let program = Golden.folder.deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "mpi/release/matvlm")

  /// Threads of tests may have signals blocked, a process inherits that, and `mpirun` leaves it so.
  private static let unblocking = """
    import os, signal, sys
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.execvp(sys.argv[1], sys.argv[1:])
    """

  static let isThere = FileManager.default.isExecutableFile(atPath: program.path)

  convenience init(_ ranks: Int, _ arguments: [String], in workplace: Workplace) throws {
    try self.init(
      [
        "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1", "python3", "-c",
        Self.unblocking, "mpirun", "--oversubscribe", "-n", "\(ranks)", Self.program.path,
      ] + arguments, in: workplace)
  }

  /// - Parameter arguments: of `env`: variables, a program, and its arguments.
  init(_ arguments: [String], in workplace: Workplace) throws {
    errorFile = FileManager.default.temporaryDirectory
      .appending(path: "\(workplace.folder.url.lastPathComponent)-ranks")
    outputFile = errorFile.appendingPathExtension("output")
    for file in [errorFile, outputFile] { try Data().write(to: file) }
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = arguments
    process.currentDirectoryURL = workplace.folder.url
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = try FileHandle(forWritingTo: outputFile)
    process.standardError = try FileHandle(forWritingTo: errorFile)
    try process.run()
  }

  deinit {
    if process.isRunning { process.terminate() }
    for file in [errorFile, outputFile] { try? FileManager.default.removeItem(at: file) }
  }

  var output: String { (try? String(contentsOf: outputFile, encoding: .utf8)) ?? "" }

  var errors: String { (try? String(contentsOf: errorFile, encoding: .utf8)) ?? "" }

  /// To `mpirun`.
  func send(_ signal: Int32) { Foundation.kill(process.processIdentifier, signal) }

  /// Kills one rank as the system would.
  func kill(rank: Int) throws {
    let number = try #require(
      try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap(Int32.init).first {
        let parent = try? String(contentsOfFile: "/proc/\($0)/stat", encoding: .utf8)
          .split(separator: ")").last?.split(separator: " ").dropFirst().first.flatMap { Int32($0) }
        let environment = (try? Data(contentsOf: URL(filePath: "/proc/\($0)/environ"))) ?? Data()
        return parent == process.processIdentifier
          && environment.split(separator: 0)
            .contains { String(decoding: $0, as: UTF8.self) == "OMPI_COMM_WORLD_RANK=\(rank)" }
      })
    Foundation.kill(number, SIGKILL)
  }

  func wait() -> Int32 {
    process.waitUntilExit()
    return process.terminationReason == .exit
      ? process.terminationStatus : -process.terminationStatus
  }

  /// Waits until `condition` holds.
  /// - Throws: when the command ends before, or nothing happens for a minute.
  func wait(until condition: () -> Bool) throws {
    for _ in 0..<60_000 {
      if condition() { return }
      try #require(process.isRunning, "it ended too early: \(errors)")
      usleep(1000)
    }
    Issue.record("nothing happened: \(errors)")
  }
}
