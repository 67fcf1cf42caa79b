import Foundation
import MaTVLMTensor
import Testing

@Suite("Runs that are killed or interrupted, and go on", .serialized)
struct KilledRunTests {
  /// Long enough to be hit anywhere, with everything that a position consists of: an order, a
  /// schedule, accumulation, broken samples, evaluations.
  static let options = """
    --steps 30 --batch-size 2 --gradient-accumulation 2 --learning-rate 2e-3 --ce-weight 0.5 \
    --held-out data.json --evaluation-interval 7 --broken-samples skip --checkpoint-interval 1 \
    --threads 1
    """.split(separator: " ").map(String.init)

  private func workplace() throws -> Workplace {
    let workplace = try Workplace()
    try workplace.edit("data.json", "b.jpg", "missing.jpg")
    return workplace
  }

  private func arguments(_ output: String) -> [String] {
    Workplace.distill + Self.options + ["--output", output]
  }

  @Test("Killed at 25 random instants, runs end with the bytes of one that was not")
  func killed() throws {
    let workplace = try workplace()
    let clock = ContinuousClock()
    let start = clock.now
    _ = try workplace.run(arguments("whole")).requireSuccess()
    let duration = (clock.now - start) / .seconds(1)
    var random = RandomGenerator(seed: 25)
    var (kills, resumed, runs) = (0, 0, 0)
    while kills < 25 {
      runs += 1
      let output = "run-\(runs)"
      var isFinished = false
      while !isFinished {
        resumed += workplace.checkpoints(output).isEmpty ? 0 : 1
        let command = try RunningCommand(arguments(output), in: workplace)
        usleep(UInt32(1e6 * random.uniform(0, duration)))
        command.send(SIGKILL)
        let status = command.wait()
        if status == -SIGKILL { kills += 1 }
        try #require(status == 0 || status == -SIGKILL, "\(status): \(command.errors)")
        // Killed on its way out, a run has finished, too.
        isFinished = status == 0 || workplace.isFinished(output)
      }
      #expect(try workplace.differences(output, "whole") == [], "\(output)")
    }
    #expect(resumed > 0, "no run had anything to go on from")
    #expect(try workplace.content.filter { $0.hasPrefix(".") } == [])
  }

  @Test("Killed while it replaces an earlier result: in the end the new one is there, alone")
  func killedOverwriting() throws {
    let workplace = try workplace()
    _ = try workplace.run(arguments("whole")).requireSuccess()
    _ = try workplace.distill("--steps", "1").requireSuccess()
    let again = arguments("student") + ["--overwrite"]
    let command = try RunningCommand(again, in: workplace)
    try command.wait { !workplace.checkpoints().isEmpty }
    command.send(SIGKILL)
    #expect(command.wait() == -SIGKILL)
    let second = try workplace.run(again).requireSuccess()
    #expect(second.errors.contains("going on with the unfinished run"))
    #expect(try workplace.differences("student", "whole") == [])
    #expect(try workplace.content.filter { $0.hasPrefix(".") } == [])
  }

  @Test(
    "Killed after an earlier result was moved away, with and without the new folder, not locked",
    arguments: [false, true])
  func killedMoving(withFolder: Bool) throws {
    let workplace = try workplace()
    _ = try workplace.distill("--steps", "1").requireSuccess()
    let again = Workplace.distill + Self.options + ["--student", "student"]
    _ = try workplace.run(again + ["--output", "whole"]).requireSuccess()
    let result = try workplace.result("student")
    let manager = FileManager.default
    func move() throws {
      try manager.moveItem(
        at: workplace.folder["student"], to: workplace.folder[".student-earlier"])
      guard withFolder else { return }
      try manager.createDirectory(
        at: workplace.folder["student"], withIntermediateDirectories: false)
    }
    try move()
    try workplace.run(again).expectFailure(Command.unwritableOutput, ["student", "--overwrite"])
    #expect(try workplace.result("student") == result)
    try move()
    _ = try workplace.run(again + ["--overwrite"]).requireSuccess()
    #expect(try workplace.differences("student", "whole") == [])
    #expect(try workplace.content.filter { $0.hasPrefix(".") } == [])
  }

  @Test("A hybrid that is trained on in its own folder is what it is in another, twice")
  func ownFolderUndisturbed() throws {
    let workplace = try workplace()
    _ = try workplace.distill("--steps", "1").requireSuccess()
    let command = Workplace.distill + ["--student", "student", "--steps", "1", "--no-shuffle"]
    for output in ["once", "twice"] {
      _ = try workplace.run(command + ["--output", output]).requireSuccess()
      _ = try workplace.run(command + ["--overwrite"]).requireSuccess()
      #expect(try workplace.differences("student", output) == [])
      // As a program leaves it that is killed while it removes what the result replaced.
      try workplace.folder.write(".student-earlier/vocab.json", Data())
    }
  }

  @Test("A hybrid that is trained on in its own folder survives a kill")
  func ownFolder() throws {
    let workplace = try workplace()
    _ = try workplace.distill("--steps", "1").requireSuccess()
    let options = Self.options + ["--student", "student"]
    _ = try workplace.run(Workplace.distill + options + ["--output", "whole"]).requireSuccess()
    let again = Workplace.distill + options + ["--overwrite"]
    let command = try RunningCommand(again, in: workplace)
    try command.wait { !workplace.checkpoints().isEmpty }
    command.send(SIGKILL)
    _ = command.wait()
    _ = try workplace.run(again).requireSuccess()
    #expect(try workplace.differences("student", "whole") == [])
  }

  @Test("Ctrl-C saves and says so; the run goes on from there", arguments: [SIGINT, SIGTERM])
  func interrupted(_ signal: Int32) throws {
    let workplace = try workplace()
    _ = try workplace.run(arguments("whole")).requireSuccess()
    // Without checkpoints of its own: what is there was saved for the signal.
    let rare = arguments("student") + ["--checkpoint-interval", "1000000"]
    let command = try RunningCommand(rare, in: workplace)
    try command.wait { (try? workplace.text("student/log.jsonl").isEmpty) == false }
    command.send(signal)
    #expect(command.wait() == 128 + signal)
    #expect(workplace.checkpoints().count == 1 && command.errors.contains("stopped after update"))
    // Other checkpoints than before are no other run.
    _ = try workplace.run(arguments("student") + ["--resume"]).requireSuccess()
    #expect(try workplace.differences("student", "whole") == [])
  }

  @Test("A second Ctrl-C ends the program at once")
  func interruptedTwice() throws {
    let workplace = try Workplace()
    // One update that takes as long as anyone is willing to wait.
    let command = try RunningCommand(
      Workplace.distill + ["--steps", "2", "--gradient-accumulation", "1000000"], in: workplace)
    try command.wait {
      FileManager.default.fileExists(atPath: workplace.folder["student/log.jsonl"].path)
    }
    command.send(SIGINT)
    try command.wait { command.errors.contains("finishing the update") }
    #expect(command.isRunning)
    command.send(SIGINT)
    #expect(command.wait() == -SIGINT)
  }

  @Test("Checkpoints stay when asked to")
  func kept() throws {
    let workplace = try workplace()
    _ = try workplace.run(arguments("whole")).requireSuccess()
    _ = try workplace.run(
      arguments("student") + ["--keep-checkpoints", "--checkpoints", "3"]
    ).requireSuccess()
    #expect(workplace.checkpoints() == (27...29).map { "step-0000000\($0)" })
    let others = try workplace.differences("student", "whole").filter {
      !$0.hasPrefix("checkpoints")
    }
    #expect(others == ["run.yaml"])  // what was asked for differs
  }
}
