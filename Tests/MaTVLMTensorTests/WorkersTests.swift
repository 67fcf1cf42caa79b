import CMaTVLMKernels
import Foundation
import Synchronization
import Testing

@Suite("Threads that stay for the next work")
struct WorkersTests {
  /// How often each item was done.
  private final class Counts: Sendable {
    let values: [Counter]
    init(_ items: Int) { values = (0..<items).map { _ in Counter() } }
    var all: [Int] { values.map { $0.value.load(ordering: .relaxed) } }
  }

  private final class Counter: Sendable {
    let value = Atomic<Int>(0)
  }

  private func work(_ counts: Counts, threads: Int) -> Bool {
    matvlm_work_together(
      counts.values.count, Int32(threads),
      {
        let counts = Unmanaged<Counts>.fromOpaque($0).takeUnretainedValue()
        counts.values[$1].value.wrappingAdd(1, ordering: .relaxed)
      }, Unmanaged.passUnretained(counts).toOpaque())
  }

  /// Others' tests compute meanwhile, so that it may be refused; then nothing is done.
  @Test("every item is done once, or none", arguments: [1, 2, 3, 8])
  func once(threads: Int) {
    for items in [0, 1, 2, 7, 300] {
      for _ in 0..<200 {
        let counts = Counts(items)
        let isDone = work(counts, threads: threads)
        #expect(counts.all == Array(repeating: isDone ? 1 : 0, count: items))
      }
    }
  }

  @Test("from several threads, and after a rest that lets the workers sleep")
  func together() {
    let done = Counter()
    DispatchQueue.concurrentPerform(iterations: 4) { thread in
      for round in 0..<300 {
        if thread == 0, round % 100 == 0 { Thread.sleep(forTimeInterval: 0.02) }
        let counts = Counts(5)
        let isDone = work(counts, threads: 4)
        #expect(counts.all == Array(repeating: isDone ? 1 : 0, count: 5))
        if isDone { done.value.wrappingAdd(1, ordering: .relaxed) }
      }
    }
    #expect(done.value.load(ordering: .relaxed) > 0)
  }

  @Test("work within work is refused")
  func within() {
    final class Refused: Sendable {
      let count = Atomic<Int>(0)
    }
    let refused = Refused()
    let isDone = matvlm_work_together(
      3, 2,
      { context, _ in
        if !matvlm_work_together(1, 2, { _, _ in }, context) {
          Unmanaged<Refused>.fromOpaque(context).takeUnretainedValue().count
            .wrappingAdd(1, ordering: .relaxed)
        }
      }, Unmanaged.passUnretained(refused).toOpaque())
    #expect(refused.count.load(ordering: .relaxed) == (isDone ? 3 : 0))
  }
}
