import ArgumentParser
import Foundation
import MaTVLMCore

/// `matvlm plan`
struct Plan: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Says what a distillation would take: memory, work, disk, time.",
    discussion: """
      Takes the options and run files of 'matvlm distill' and trains nothing. A run that does not \
      fit into memory is refused with what would. Memory and work are those of the run's first \
      updates, counted on a device that computes nothing; time is measured by doing each operation \
      of one update here, or on the card. Started by mpirun, it says what each process would take.
      """)

  @OptionGroup var distillation: Distill

  @Flag(help: "Say of each parameter whether it trains, and why.")
  var explain = false

  @Flag(help: "Print one JSON object.")
  var json = false

  func run() throws {
    let (device, ranks) = try distillation.machine.openTogether()
    let source = try distillation.source()
    let configuration = try distillation.configuration(source)
    let (count, memory) = try distillation.limits.fitting(
      configuration, distillation, source, on: device, among: ranks, samples: 128)
    let plan = try RunPlan(
      count, memory, keepingCheckpoints: distillation.checkpoints.checkpoints,
      measuredOn: device)
    guard ranks.rank == 0 else { return }
    if json { return try StandardOutput.print(plan.jsonText()) }
    try StandardOutput.print(
      explain ? plan.description + "\n\n" + plan.explanation : plan.description)
  }
}
