import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("A device that only counts")
struct CountingBackendTests {
  @Test("Results have the shapes and types of the reference's", arguments: OperationCase.all)
  func shapes(_ operation: OperationCase) {
    let device = Device(CountingBackend(.processor(threads: 2)))
    guard OperationCase.all(on: device).contains(where: { $0.name == operation.name }) else {
      return
    }
    let expected = operation.resultShapes(on: Device(ReferenceBackend()))
    #expect(operation.resultShapes(on: device) == expected)
  }

  @Test("On a card activations are bfloat16, what trains float32")
  func card() {
    let device = Device(CountingBackend(.card(.bfloat16)))
    let x = Tensor.zeros([4, 8], .bfloat16, on: device)
    let weight = Tensor.zeros([16, 8], on: device)
    #expect(x.backend.linear(x, weight, nil).dtype == .bfloat16)
    #expect(x.backend.linearWeightGradient(x, x).dtype == .float32)
  }

  @Test("Bytes at most, by use; what was given back is kept and handed out again")
  func memory() {
    let backend = CountingBackend(.processor(threads: 1))
    let device = Device(backend)
    let parameter = Parameter("w", .zeros([256, 1024], on: device))  // 1 MiB
    let frozen = Tensor.zeros([1024], on: device)
    parameter.isTrainable = true
    backend.assignWeights(trained: [parameter])
    backend.resetPeak()
    #expect(backend.peak[.trained] == 1 << 20 && backend.peak[.frozen] == 4096)
    do {
      let a = Tensor.zeros([2, 1024], on: device)
      let b = a + a
      _ = backend.add(b, b)  // given back at once
      _ = backend.add(b, b)  // in the same place
    }
    #expect(backend.peak[.activations] == 3 * 8192 && backend.peak.kept == 0)
    backend.resetPeak()
    #expect(backend.peak[.activations] == 0 && backend.peak.kept == 3 * 8192)
    #expect(backend.peak.total == (1 << 20) + 4096 + 3 * 8192)
    withExtendedLifetime(frozen) {}
  }

  @Test("In which order memory came back makes no difference to what is counted then")
  func order() {
    func peak(_ order: [Int]) -> MemoryCount {
      let backend = CountingBackend(.processor(threads: 1))
      let device = Device(backend)
      // Blocks of one size, written to different lengths.
      var tensors: [Tensor?] = [1000, 1010, 1020].map { .zeros([$0], on: device) }
      for place in order { tensors[place] = nil }
      backend.resetPeak()
      let again = Tensor.zeros([1015], on: device)
      defer { withExtendedLifetime(again) {} }
      return backend.peak
    }
    let expected = peak([0, 1, 2])
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
      #expect(peak(order) == expected)
    }
  }

  @Test("Gradients and moments are known for what they are")
  func uses() {
    let backend = CountingBackend(.processor(threads: 1))
    let device = Device(backend)
    let parameter = Parameter("w", .zeros([300, 1000], on: device))
    parameter.isTrainable = true
    backend.assignWeights(trained: [parameter])
    var optimizer = AdamW()
    let x = Tensor.zeros([8, 1000], on: device)
    let y = sumOfAll(linear(x, parameter.value))
    optimizer.update([parameter], with: gradients(of: y), learningRate: 1)
    #expect(backend.peak[.trained] == 1_200_000)
    backend.resetPeak()
    #expect(backend.peak[.moments] == 2_400_000)
    #expect(backend.peak[.gradients] == 4)  // that of y itself, from which the sweep began
  }

  @Test("Products count two operations for each weight and row, and equal ones once")
  func operations() throws {
    let backend = CountingBackend(.processor(threads: 1))
    let device = Device(backend)
    let (x, weight) = (Tensor.zeros([5, 7], on: device), Tensor.zeros([11, 7], on: device))
    _ = backend.takeOperations()
    for _ in 0..<3 { _ = backend.linear(x, weight, nil) }
    let counts = backend.takeOperations()
    #expect(counts.all.map(\.name) == ["linear"] && counts.all.map(\.uses) == [3])
    #expect(counts.operations == 3 * 2 * 5 * 7 * 11)
    var zeros = ProbeInputs()
    #expect(counts.all[0].seconds(on: .cpu, &zeros) > 0)
    #expect(backend.takeOperations().all.isEmpty)
  }

  /// One element that depends on all of x.
  private func sumOfAll(_ x: Tensor) -> Tensor {
    let ones = Tensor.zeros(x.shape, on: x.device)
    return distance(
      x, to: ones, Segments([x.shape.rows]), weights: .zeros([1], on: x.device)
    ).total
  }
}
