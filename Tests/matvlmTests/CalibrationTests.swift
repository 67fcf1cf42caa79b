import Foundation
import Testing

@Suite("--seeding calibrated", .serialized)
struct CalibrationTests {
  static let options = [
    "--seeding", "calibrated", "--calibration-samples", "6", "--calibration-passes", "2",
    "--ssm-layers", "0,2",
  ]

  @Test("A run says what it calibrated, and its file repeats it without the options")
  func distill() throws {
    let workplace = try Workplace()
    let run = try workplace.run(Workplace.distill + Self.options + ["--steps", "2"])
      .requireSuccess()
    #expect(run.errors.contains("calibrating 2 layers on 6 samples"))
    for layer in ["layer 0: residual", "layer 2: residual"] {
      #expect(run.errors.contains(layer))
    }
    let file = try workplace.text("student/run.yaml")
    for line in ["seeding: calibrated", "calibration-samples: 6", "calibration-passes: 2"] {
      #expect(file.contains("  \(line)\n"), "\(line)")
    }
    let info = try workplace.run("info", "student", "--json").requireSuccess().object()
    let origin = try #require(info["mixer_origin"] as? [String: Any])
    #expect(origin["seeding"] as? String == "calibrated")
    #expect(origin["calibration_samples"] as? Int == 6)
    #expect(
      try workplace.run("info", "student").requireSuccess().output
        .contains("mixers began as      calibrated, 6 samples, 2 passes\n"))
    _ = try workplace.run("distill", "--config", "student/run.yaml", "--output", "again")
      .requireSuccess()
    #expect(try workplace.differences("student", "again") == [])
    // Another seeding on top of the file leaves the calibration's options behind.
    _ = try workplace.run(
      "distill", "--config", "student/run.yaml", "--seeding", "paper", "--output", "paper"
    ).requireSuccess()
    #expect(try !workplace.text("paper/run.yaml").contains("calibration"))
  }

  @Test("Held-out samples are not touched: none of them could be used")
  func heldOut() throws {
    let workplace = try Workplace()
    _ = try workplace.run(Workplace.distill + Self.options + ["--steps", "1"]).requireSuccess()
    try workplace.folder.write(
      "broken.json", Data(#"[{"id": "x", "image": "none.png", "conversations": []}]"#.utf8))
    _ = try workplace.run(
      Workplace.distill + Self.options
        + ["--steps", "1", "--held-out", "broken.json", "--output", "other"]
    ).requireSuccess()
    #expect(try workplace.differences("student", "other") == ["run.yaml"])
  }

  @Test("A run that was killed goes on to the same bytes")
  func resumed() throws {
    let workplace = try Workplace()
    let options =
      Workplace.distill + Self.options
      + ["--steps", "30", "--checkpoint-interval", "1", "--threads", "1"]
    _ = try workplace.run(options + ["--output", "whole"]).requireSuccess()
    let command = try RunningCommand(options, in: workplace)
    try command.wait { !workplace.checkpoints().isEmpty }
    command.send(SIGKILL)
    #expect(command.wait() == -SIGKILL)
    let second = try workplace.run(options).requireSuccess()
    #expect(second.errors.contains("going on with the unfinished run"))
    #expect(try workplace.differences("student", "whole") == [])
  }

  @Test("convert calibrates on the data that it is given; unusable data is an error")
  func convert() throws {
    let workplace = try Workplace()
    let base = ["convert", "--teacher", "teacher", "--image-folder", "images"] + Self.options
    let run = try workplace.run(base + ["--calibration", "data.json", "--output", "student"])
      .requireSuccess()
    #expect(run.output == "student\n" && run.errors.contains("layer 2: residual"))
    let info = try workplace.run("info", "student", "--json").requireSuccess().object()
    #expect(info["mamba_layers"] as? [Int] == [0, 2])
    #expect(info["mixer_origin"] == nil, "nothing beside it says")
    let before = try workplace.content
    try workplace.run(base + ["--calibration", "missing.json", "--output", "other"])
      .expectFailure(EX_DATAERR, ["missing.json"])
    try workplace.edit("data.json", "b.jpg", "missing.jpg")
    try workplace.run(
      base + ["--calibration", "data.json", "--output", "other", "--calibration-samples", "8"]
    ).expectFailure(EX_DATAERR, ["missing.jpg"])
    #expect(try workplace.content == before)
  }
}
