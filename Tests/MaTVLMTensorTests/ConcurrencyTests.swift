import Foundation
import MaTVLMTensor
import Synchronization
import Testing

@Suite("Several threads compute on one backend")
struct ConcurrencyTests {
  /// Long enough sums that threads meet in them: each must have memory of its own meanwhile.
  @Test("nobody's sums change because somebody else computes")
  func sums() {
    let wrong = Atomic<Int>(0)
    DispatchQueue.concurrentPerform(iterations: 8) { thread in
      let a = Float(thread + 1)
      let many = Array(repeating: Tensor([a, a], [2]), count: 2000)
      for _ in 0..<200 where Device.cpu.backend.sumOfSquares(many).item() != 4000 * a * a {
        wrong.wrappingAdd(1, ordering: .relaxed)
      }
    }
    #expect(wrong.load(ordering: .relaxed) == 0)
  }
}
