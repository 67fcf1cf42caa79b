import Foundation
import Synchronization

/// What all parts found, printed as one table at the end.
final class CheckTable: Sendable {
  enum Verdict: String {
    case passed = "ok"
    case failed = "FAILED"
    /// A figure, beside one that is asked for or not.
    case reached, missed, measured
  }

  private let rows = Mutex<[[String]]>([["part", "what", "found", "limit or peer", "verdict"]])

  /// - Parameters:
  ///   - found: a number of cases, or a figure with its unit.
  ///   - limit: what it is held against; empty where nothing is known.
  func add(_ part: String, _ what: String, _ found: String, _ limit: String, _ verdict: Verdict) {
    rows.withLock { $0.append([part, what, found, limit, verdict.rawValue]) }
  }

  /// A figure, and what another program reached on the same card model.
  func add(
    _ part: String, _ what: String, _ value: Double, _ unit: String, against peer: Peer? = nil
  ) {
    let found = "\(fixed(value, 1)) \(unit)"
    guard let peer else { return add(part, what, found, "", .measured) }
    let isReached = peer.isReached(value)
    add(part, what, found, peer.description(unit), isReached ? .reached : .missed)
  }

  func print() {
    let rows = rows.withLock { $0 }
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max()! }
    Swift.print("")
    for row in rows {
      let cells = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
      Swift.print(cells.joined(separator: "  "))
    }
    fflush(nil)
  }
}

/// A figure of PyTorch on an H200 (CUDA 13, bfloat16), and how many times as fast this is to be.
struct Peer {
  let value: Double
  let factor: Double
  /// Whether less is better.
  var isTime = false

  func isReached(_ found: Double) -> Bool {
    isTime ? found <= value / factor : found >= value * factor
  }

  func description(_ unit: String) -> String {
    "PyTorch \(fixed(value, 1)) \(unit), \(fixed(factor, 1))x asked"
  }

  static func decoding(_ name: String, context: Int) -> Peer? {
    switch (name, context) {
    case ("teacher", 512): Peer(value: 356, factor: 1.6)
    case ("teacher", 16384): Peer(value: 247, factor: 1.4)
    case ("student", 16384): Peer(value: 247, factor: 1.6)
    default: nil
    }
  }

  static func prompt(_ name: String, rows: Int) -> Peer? {
    switch (name, rows) {
    case ("teacher", 4096): Peer(value: 62.8, factor: 1.2, isTime: true)
    case ("teacher", 16384): Peer(value: 315, factor: 1, isTime: true)
    default: nil
    }
  }

  static func distillation(sequences: Int) -> Peer? {
    sequences == 4 ? Peer(value: 452, factor: 2, isTime: true) : nil
  }
}
