import Foundation

extension RunPlan: CustomStringConvertible {
  /// A page for people.
  public var description: String {
    [parameterLines, memoryLines, workLines].joined(separator: "\n")
  }

  /// One line for each parameter.
  public var explanation: String {
    parameters.entries.map { entry in
      "\(entry.name) \(entry.shape): \(entry.reason)"
    }.joined(separator: "\n")
  }

  private var parameterLines: String {
    let rows = parameters.groups.filter { $0.parameters > 0 }.map { group in
      let trains =
        group.trainable == 0
        ? "frozen"
        : group.trainable == group.parameters ? "trains" : "\(grouped(group.trainable)) train"
      return line("  " + group.name, "\(grouped(group.parameters)), \(trains)")
    }
    return
      ([
        line("teacher", "\(grouped(parameters.teacher)) parameters"),
        line("student", "\(grouped(parameters.student)), \(grouped(parameters.trainable)) train"),
      ] + rows + processLines).joined(separator: "\n")
  }

  private var processLines: [String] {
    ranks > 1 ? [line("processes", "\(ranks); memory, work and time are those of each")] : []
  }

  private var memoryLines: String {
    let parts = memory.parts.map { line("  " + $0.name, gibibytes($0.bytes)) }
    let way = memory.recompute ? ", blocks computed again for the gradient" : ""
    return
      ([
        line(
          "memory",
          "\(gibibytes(memory.peak)) of \(gibibytes(memory.available)), updates of up to "
            + "\(grouped(memory.rows)) rows\(way)")
      ] + parts).joined(separator: "\n")
  }

  private var workLines: String {
    var lines = [
      line(
        "work",
        String(
          format: "%.3g operations an update, %.3g in %d updates", operationsPerUpdate, operations,
          steps)),
      line(
        "disk",
        "\(gibibytes(disk.bytes)): \(disk.checkpoints) checkpoints of "
          + "\(gibibytes(disk.checkpointBytes)), model \(gibibytes(disk.modelBytes)), "
          + "log \(gibibytes(disk.logBytes))"),
    ]
    if let time {
      lines.append(
        line(
          "time",
          "\(duration(time.secondsPerUpdate)) an update, \(duration(time.seconds)) in all, at "
            + String(format: "%.3g", time.operationsPerSecond)
            + " operations a second (\(time.probes) operations of an update, each timed here)"))
    }
    return lines.joined(separator: "\n")
  }

  private func line(_ name: String, _ text: String) -> String {
    name.padding(toLength: max(22, name.count + 1), withPad: " ", startingAt: 0) + text
  }

  private func duration(_ seconds: Double) -> String {
    switch seconds {
    case ..<1: String(format: "%.0f ms", seconds * 1000)
    case ..<120: String(format: "%.1f s", seconds)
    case ..<7200: String(format: "%.1f min", seconds / 60)
    case ..<172_800: String(format: "%.1f h", seconds / 3600)
    default: String(format: "%.1f days", seconds / 86400)
    }
  }
}
