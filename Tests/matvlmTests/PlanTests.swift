import Foundation
import Testing

@Suite("matvlm plan")
struct PlanTests {
  private static let options = [
    "--teacher", "teacher", "--data", "data.json", "--image-folder", "images", "--ssm-layers",
    "0,2", "--steps", "20", "--batch-size", "2",
  ]

  @Test("One object with what a run takes; nothing is written")
  func json() throws {
    let workplace = try Workplace()
    let before = try workplace.content
    let plan = try workplace.run(["plan"] + Self.options + ["--json"]).requireSuccess().object()
    #expect(
      plan.keys.sorted() == [
        "disk", "memory", "operations", "operations_per_update", "parameters", "ranks", "steps",
        "time", "updates_counted",
      ])
    let parameters = try #require(plan["parameters"] as? [String: Any])
    let mixer = 260 * 64 + 192 * 4 + 192 + 4 * 3 + 64 + 64 * 64
    #expect(parameters["trainable"] as? Int == 2 * mixer + 64 * 49 + 64 * 65)
    let memory = try #require(plan["memory"] as? [String: Any])
    #expect(
      memory.keys.sorted() == [
        "activations", "available", "frozen_weights", "gradients", "losses", "moments", "peak",
        "program", "recompute", "rows", "trained_weights", "working_memory",
      ])
    let time = try #require(plan["time"] as? [String: Any])
    #expect((time["seconds_per_update"] as? Double ?? 0) > 0)
    #expect(plan["steps"] as? Int == 20)
    #expect(try workplace.content == before)
  }

  @Test("Each parameter's reason is said when asked for")
  func explain() throws {
    let workplace = try Workplace()
    let text = try workplace.run(["plan"] + Self.options + ["--explain"]).requireSuccess().output
    #expect(text.contains("layers.0.mamba.in_proj.weight [260, 64]: trains: Mamba-2 layer"))
    #expect(text.contains("B from k_proj"))
    #expect(text.contains("layers.1.self_attn.q_proj.weight [64, 64]: frozen: shared with"))
    let short = try workplace.run(["plan"] + Self.options).requireSuccess().output
    #expect(!short.contains("in_proj") && short.contains("AdamW's moments"))
  }

  @Test("A run that does not fit is refused, by plan and by distill, with what would")
  func refusal() throws {
    let workplace = try Workplace()
    let before = try workplace.content
    for verb in ["plan", "distill"] {
      try workplace.run([verb] + Self.options + ["--memory", "0.001"])
        .expectFailure(Command.unusableInput, ["needs", "of memory", "may take"])
    }
    #expect(try workplace.content == before)
    try workplace.run(["plan"] + Self.options + ["--memory", "-1"])
      .expectFailure(Command.wrongCommandLine, ["--memory"])
  }

  @Test("A run file is planned as it would be run")
  func runFile() throws {
    let workplace = try Workplace()
    _ = try workplace.run(
      ["distill"] + Self.options + ["--output", "student", "--vision-cache", "features"]
        + ["--vision-cache-budget", "1MB", "--steps", "2"]
    ).requireSuccess()
    #expect(try workplace.content.contains { $0.hasSuffix(".features") })
    let plan = try workplace.run(
      "plan", "--config", "student/run.yaml", "--set", "training.steps=7", "--json"
    ).requireSuccess().object()
    #expect(plan["steps"] as? Int == 7)
    try workplace.run(["distill"] + Self.options + ["--vision-cache-budget", "1GB"])
      .expectFailure(Command.wrongCommandLine, ["--vision-cache"])
  }
}
