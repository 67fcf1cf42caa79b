import ArgumentParser
import Foundation
import MaTVLMCUDA
import MaTVLMCore

/// What a run may take of the machine.
struct LimitOptions: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: "Memory that the run may take, in GiB; what the machine, or the card, has by default.")
  var memory: Double?

  func validate() throws {
    if let memory, !(memory > 0 && memory <= 1_000_000) {
      throw ValidationError("--memory must be above 0 and at most 1000000, not \(memory).")
    }
  }

  /// The run as it fits into memory, counted.
  ///
  /// - Parameters:
  ///   - ranks: the processes that make it together. Those on this machine share its memory, each has
  ///     its own card.
  ///   - samples: about how many are read for it.
  /// - Throws: ``PlanError`` when it does not fit.
  func fitting(
    _ configuration: TrainingConfiguration, _ run: Distill, _ source: DistillationData,
    on device: Device, among ranks: any Communicator, samples: Int
  ) throws -> (count: RunCount, memory: MemoryPlan) {
    let card = device.cardMemory
    let program = card?.used ?? ProcessMemory.currentBytes ?? 0
    let whole =
      memory.map { Int($0 * 0x1p30) } ?? card?.total
      ?? Int(clamping: ProcessInfo.processInfo.physicalMemory)
    let available = card == nil ? whole / ranks.localSize : whole
    func plan(_ count: RunCount) -> MemoryPlan {
      MemoryPlan(count, program: program, available: available)
    }
    return try RunPlan.fitting(configuration, memory: plan) { changed in
      try RunCount(
        changed, for: run.machine.planned, ranks: ranks.size, samples: samples,
        explaining: run.student == nil ? run.start.mixerStart : nil
      ) { try run.trainer($0, source, on: $1) }
    }
  }
}

extension MachineOptions {
  /// The device as a plan knows it.
  fileprivate var planned: PlannedDevice {
    switch device {
    case .cpu: .processor
    case .cuda: .card(precision.type)
    }
  }
}
