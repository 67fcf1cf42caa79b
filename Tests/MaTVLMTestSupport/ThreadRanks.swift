import Foundation
import MaTVLMTensor

/// Ranks that are threads of one process.
package final class ThreadRanks: Communicator {
  package let rank: Int
  package let size: Int
  package var localRank: Int { rank }
  package var localSize: Int { size }
  private let meeting: Meeting

  private init(_ rank: Int, of size: Int, _ meeting: Meeting) {
    (self.rank, self.size, self.meeting) = (rank, size, meeting)
  }

  /// Runs `body` on so many ranks at once.
  /// - Returns: what became of it, in rank order.
  package static func run<Value: Sendable>(
    _ size: Int, _ body: @escaping @Sendable (any Communicator) throws -> Value
  ) -> [Result<Value, any Error>] {
    let meeting = Meeting(size)
    let ends = Meeting(size + 1)
    for rank in 0..<size {
      let thread = Thread {
        let ranks = ThreadRanks(rank, of: size, meeting)
        // Later ranks come first, which must not matter.
        usleep(UInt32(1000 * (size - rank)))
        _ = ends.exchange(Result { try body(ranks) }, rank)
      }
      thread.stackSize = 8 << 20
      thread.start()
    }
    return ends.exchange(0, size).prefix(size).map { $0 as! Result<Value, any Error> }
  }

  package func allGather<Element: BitwiseCopyable>(_ values: [Element]) -> [[Element]] {
    meeting.exchange(values, rank).map { $0 as! [Element] }
  }

  package func allToAll<Element: BitwiseCopyable>(_ parts: [[Element]]) -> [[Element]] {
    meeting.exchange(parts, rank).map { ($0 as! [[Element]])[rank] }
  }
}

/// Where threads wait for each other and leave with what all brought.
private final class Meeting: @unchecked Sendable {  // everything happens under the condition's lock
  private let condition = NSCondition()
  private var brought: [Any?]
  private var arrived = 0
  private var meetings = 0
  private var result: [Any] = []

  init(_ size: Int) { brought = Array(repeating: nil, count: size) }

  func exchange(_ value: Any, _ place: Int) -> [Any] {
    condition.lock()
    defer { condition.unlock() }
    let meeting = meetings
    brought[place] = value
    arrived += 1
    if arrived == brought.count {
      (result, arrived, meetings) = (brought.map { $0! }, 0, meetings + 1)
      condition.broadcast()
    }
    while meetings == meeting { condition.wait() }
    return result
  }
}
