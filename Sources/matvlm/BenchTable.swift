import Foundation
import MaTVLMCore

/// What benchmarks of answers print.
struct BenchTable: Encodable {
  /// What the time of a line is of.
  enum Unit {
    case token, prompt

    var heads: (rows: String, limit: String) {
      switch self {
      case .token: ("context", "memory limit, GB/s")
      case .prompt: ("rows", "arithmetic limit, 10⁹/s")
      }
    }
  }

  let results: [BenchmarkResult]

  /// Columns for people.
  func text(_ unit: Unit) -> String {
    let head = [
      "model", unit.heads.rows, "seconds", "tokens/s", "of \(unit.heads.limit)",
      "weights MiB",
      "state MiB", "peak MiB",
    ]
    let lines = [head] + results.map(cells)
    let widths = head.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
    return lines.map { line in
      zip(line, widths).map { String(repeating: " ", count: $1 - $0.count) + $0 }
        .joined(separator: "  ")
    }.joined(separator: "\n")
  }

  private func cells(_ result: BenchmarkResult) -> [String] {
    func mebibytes(_ bytes: Int) -> String { String(format: "%.1f", Double(bytes) / 0x1p20) }
    let speed = result.speed
    return [
      result.name, "\(result.rows)",
      speed.map { String(format: "%.4f", $0.seconds) } ?? "no room",
      speed.map { String(format: "%.2f", $0.tokensPerSecond) } ?? "",
      speed.map { String(format: "%.0f %% of %.1f", 100 * $0.fractionOfLimit, $0.limit / 1e9) }
        ?? "",
      mebibytes(result.weightBytes), mebibytes(result.stateBytes),
      speed.map { mebibytes($0.peakBytes) } ?? "",
    ]
  }
}
