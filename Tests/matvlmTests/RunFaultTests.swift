import Foundation
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("What can happen to a run, its folder and its data", .serialized)
struct RunFaultTests {
  private static let goesOn = "going on with the unfinished run"

  /// A run that was stopped by Ctrl-C, with two checkpoints at least.
  private func stopped(_ more: String...) throws -> Workplace {
    let workplace = try Workplace()
    // So many updates that the signal never comes too late.
    let command = try RunningCommand(
      Workplace.distill + ["--steps", "200", "--checkpoint-interval", "2"] + more, in: workplace)
    try command.wait { workplace.checkpoints().count > 1 }
    command.send(SIGINT)
    try #require(command.wait() == 130, "\(command.errors)")
    return workplace
  }

  /// The run of ``stopped(_:)``, by itself.
  private func goOn(_ workplace: Workplace, _ more: String...) throws -> Command {
    try workplace.run(
      Workplace.distill + ["--steps", "200", "--checkpoint-interval", "100"] + more)
  }

  @Test("A damaged newest checkpoint is reported, and the one before it is used")
  func damaged() throws {
    let workplace = try stopped()
    let names = workplace.checkpoints()
    let file = workplace.folder["student/checkpoints/\(names.last!)/moments.safetensors"]
    try Data(contentsOf: file).dropLast(100).write(to: file)
    let command = try goOn(workplace).requireSuccess()
    let step = Int(names[names.count - 2].dropFirst("step-".count))!
    #expect(command.errors.contains("\(names.last!)/moments.safetensors: expected "))
    #expect(command.errors.contains("\(Self.goesOn) after update \(step) of 200"))
    _ = try workplace.run(
      Workplace.distill
        + ["--steps", "200", "--checkpoint-interval", "100", "--output", "whole"]
    ).requireSuccess()
    #expect(try workplace.differences("student", "whole") == [])
  }

  @Test("Without one usable checkpoint the run is refused and stays as it is")
  func allDamaged() throws {
    let workplace = try stopped()
    for name in workplace.checkpoints() {
      try workplace.folder.write("student/checkpoints/\(name)/state.json", Data("{}".utf8))
    }
    let before = try workplace.result("student")
    try goOn(workplace).expectFailure(Command.unusableInput, ["state.json", "expected"])
    #expect(try workplace.result("student") == before)
  }

  @Test("Changed data, pictures, teachers and options are refused, and named")
  func changed() throws {
    let workplace = try stopped()
    let before = try workplace.result("student")
    for (name, options) in [
      ("learning_rate was 0.0002 and is now 0.0003", ["--learning-rate", "3e-4"]),
      ("steps was 200 and is now 500", ["--steps", "500"]),
      ("parameters at the start", ["--ssm-layers", "1"]),
    ] {
      try workplace.run(Workplace.distill + ["--steps", "200"] + options + ["--overwrite"])
        .expectFailure(Command.unwritableOutput, ["student", name])
    }
    let files = [
      ("data.json", "data was"), ("images/a.png", "data was"),
      ("teacher/config.json", "teacher/config.json was"),
    ]
    for (file, word) in files {
      let content = try Data(contentsOf: workplace.folder[file])
      try workplace.folder.write(file, content + Data("\n".utf8))
      try goOn(workplace).expectFailure(Command.unwritableOutput, ["student", word])
      try workplace.folder.write(file, content)
    }
    #expect(try workplace.result("student") == before)
    _ = try goOn(workplace, "--resume").requireSuccess()
  }

  @Test("A second run on the folder is refused while the first is at work")
  func locked() throws {
    let workplace = try Workplace()
    let endless = Workplace.distill + ["--steps", "1000000"]
    let command = try RunningCommand(endless, in: workplace)
    try command.wait { (try? workplace.text("student/log.jsonl").isEmpty) == false }
    for arguments in [
      endless, endless + ["--overwrite"], endless + ["--no-resume", "--overwrite"],
    ] {
      try workplace.run(arguments)
        .expectFailure(Command.unwritableOutput, ["student", "another process is at work"])
    }
    try workplace.run("convert", "--teacher", "teacher", "--output", "student", "--overwrite")
      .expectFailure(Command.unwritableOutput, ["student", "unfinished run"])
    #expect(command.isRunning)
    command.send(SIGKILL)
    _ = command.wait()
  }

  @Test("An unfinished run is given up only when that is said")
  func givenUp() throws {
    let workplace = try stopped()
    let short = Workplace.distill + ["--steps", "2"]
    try workplace.run(short).expectFailure(Command.unwritableOutput, ["--no-resume --overwrite"])
    try workplace.run(short + ["--no-resume"])
      .expectFailure(Command.unwritableOutput, ["not empty"])
    try workplace.run("convert", "--teacher", "teacher", "--output", "student", "--overwrite")
      .expectFailure(Command.unwritableOutput, ["unfinished run"])
    _ = try workplace.run(short + ["--no-resume", "--overwrite"]).requireSuccess()
    #expect(try workplace.text("student/log.jsonl").split(separator: "\n").count == 2)
    try workplace.run(short + ["--resume"])
      .expectFailure(Command.unwritableOutput, ["no unfinished run"])
  }

  @Test("Killed when only clearing up was left: the next start does that, and no more")
  func finishedButForClearingUp() throws {
    let workplace = try stopped()
    let lock = try Data(contentsOf: workplace.folder["student/run.lock"])
    _ = try goOn(workplace).requireSuccess()
    let whole = try workplace.result("student")
    for remains in ["run.lock", "checkpoints/step-000000002/state.json", ".result/config.json"] {
      try workplace.folder.write("student/\(remains)", remains == "run.lock" ? lock : Data())
    }
    try goOn(workplace, "--seed", "1").expectFailure(Command.unwritableOutput, ["seed was 42"])
    let command = try goOn(workplace).requireSuccess()
    #expect(command.errors.contains("the run had finished; clearing up after it"))
    #expect(try workplace.result("student") == whole)
  }

  @Test("Numbers that are not finite stop the run by sample and tensor; what was good before stays")
  func notFinite() throws {
    let workplace = try Workplace()
    _ = try workplace.run("convert", "--teacher", "teacher", "--output", "large").requireSuccess()
    try workplace.enlargeConnector("large")
    try workplace.keepSamples([2, 2, 2, 0])
    let command = try workplace.distill(
      "--student", "large", "--no-shuffle", "--steps", "4", "--checkpoint-interval", "1")
    command.expectFailure(
      1, ["update 4", "sample 0", "not finite", "after update 3 is kept; the same command"])
    #expect(command.errors.contains("gradient of ") || command.errors.contains(" loss is"))
    #expect(workplace.checkpoints() == ["step-000000002", "step-000000003"])
  }

  @Test("A sample that breaks later on keeps what the run has reached")
  func brokenLater() throws {
    let workplace = try stopped("--no-shuffle")
    // Of the same size: found out only when it is read.
    let picture = workplace.folder["images/a.png"]
    let content = try Data(contentsOf: picture)
    try Data(count: content.count).write(to: picture)
    try goOn(workplace, "--no-shuffle")
      .expectFailure(Command.unusableInput, ["sample 0", "is kept; the same command goes on"])
    try content.write(to: picture)
    let command = try goOn(workplace, "--no-shuffle").requireSuccess()
    #expect(command.errors.contains(Self.goesOn))
  }
}

extension Workplace {
  /// Makes what a model does with pictures too large for float32.
  fileprivate func enlargeConnector(_ model: String) throws {
    let checkpoint = try Checkpoint.open(folder[model])
    let tensors = checkpoint.names.compactMap(checkpoint.tensor).map { tensor in
      guard tensor.name.hasPrefix("connector.") else { return tensor }
      let values = Array(repeating: Float(1e38), count: tensor.shape.count)
      return CheckpointTensor(tensor.name, Tensor(values, tensor.shape))
    }
    try FileManager.default.removeItem(at: folder["\(model)/model.safetensors"])
    try Checkpoint.write(tensors, to: folder[model])
  }

  /// Makes the data these samples, in this order.
  fileprivate func keepSamples(_ numbers: [Int]) throws {
    let data = try Data(contentsOf: folder["data.json"])
    let samples = try #require(try JSONSerialization.jsonObject(with: data) as? [Any])
    let kept = try JSONSerialization.data(withJSONObject: numbers.map { samples[$0] })
    try folder.write("data.json", kept)
  }
}
