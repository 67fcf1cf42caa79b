import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("A sum whose parts exist one after the other")
struct SummingTests {
  /// Part i: ‖a · (i + 1) ⊙ b‖, one number.
  private func sum(_ inputs: [Tensor], parts: Int) -> Tensor {
    summing(parts, inputs) { inputs, part in
      let y = (inputs[0] * Float(part + 1)) * inputs[1]
      let ones = Tensor([1], [1], on: y.device)
      let zero = Tensor.zeros(y.shape, on: y.device)
      return distance(y, to: zero, Segments([y.shape.rows]), weights: ones).total
    }
  }

  @Test("Its gradient is its slope, also when one input is frozen")
  func slope() {
    var check = GradientCheck()
    #expect(check.failures([[3, 4], [3, 4]]) { sum($0, parts: 3) } == [])
    let frozen = check.constant([3, 4])
    #expect(check.failures([[3, 4]]) { sum([$0[0], frozen], parts: 2) } == [])
  }

  @Test("A sum that is part of another computation passes its gradient on")
  func within() {
    var check = GradientCheck()
    #expect(
      check.failures([[3, 4], [3, 4]]) { sum([$0[0] + $0[1], $0[1]], parts: 2) * 3 } == [])
  }

  @Test("However many parts: no more memory is kept than the gradients")
  func memory() {
    let backend = ReferenceBackend()
    let x = Parameter("x", Tensor((0..<12).map(Float.init), [3, 4], on: Device(backend)))
    x.isTrainable = true
    let kept = [1, 7].map { parts in
      let before = backend.liveByteCount
      let y = sum([x.value, x.value], parts: parts)
      return withExtendedLifetime(y) { backend.liveByteCount } - before
    }
    #expect(kept[0] == kept[1] && kept[0] <= 2 * 48 + 4)
  }

  @Test("Squared distances have the slope of their value")
  func squaredDistances() {
    var check = GradientCheck()
    let target = check.constant([5, 3])
    let failures = check.failures([[5, 3]]) { inputs in
      let weights = Tensor([0.5, 2], [2], on: target.device)
      return squaredDistance(inputs[0], to: target, Segments([2, 3]), weights: weights).total
    }
    #expect(failures == [])
  }
}
