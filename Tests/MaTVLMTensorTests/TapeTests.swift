import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("The tape")
struct TapeTests {
  private let backend = ReferenceBackend()
  private var device: Device { Device(backend) }

  private func parameter(
    _ values: [Float], _ shape: Shape, trainable: Bool = true
  ) -> Parameter {
    let parameter = Parameter("p", Tensor(values, shape, on: device))
    parameter.isTrainable = trainable
    return parameter
  }

  @Test("Gradients of several uses add up")
  func accumulation() throws {
    let x = parameter([3], [1])
    // y = x² + 5x + x, dy/dx = 2x + 6
    let y = x.value * x.value + x.value * 5 + x.value
    #expect(y.item() == 27)
    #expect(try #require(gradients(of: y)[x]).item() == 12)
  }

  @Test("A value that is used twice is walked once, after both uses")
  func diamond() throws {
    let x = parameter([2], [1])
    let square = x.value * x.value
    let y = square * square + square * 3  // x⁴ + 3x²
    #expect(try #require(gradients(of: y)[x]).item() == 44)
  }

  @Test("Outputs of one operation that are not used have no gradient")
  func severalOutputs() throws {
    let x = parameter([1, 2, 3, 4, 5, 6], [2, 3])
    let parts = splitColumns(x.value, [1, 1, 1])
    let seed = Tensor([10, 20], [2, 1], on: device)
    let gradient = try #require(gradients(of: [(parts[2] + parts[0] * 2, seed)])[x])
    #expect(gradient.array() == [20, 0, 10, 40, 0, 20])
  }

  @Test("Several values are differentiated in one sweep")
  func severalRoots() throws {
    let x = parameter([3], [1])
    let shared = x.value * 2
    let one = Tensor([1], [1], on: device)
    let result = gradients(of: [(shared * shared, one), (shared, one), (x.value, one)])
    #expect(try #require(result[x]).item() == 2 * 2 * 6 + 2 + 1)
  }

  @Test("Without anything trainable nothing is recorded")
  func frozen() {
    let x = parameter([3], [1], trainable: false)
    #expect((x.value * x.value).history == nil)
    #expect(gradients(of: x.value * x.value)[x] == nil)
  }

  @Test("withoutGradients and detached cut the tape")
  func cuts() throws {
    let x = parameter([3], [1])
    #expect(withoutGradients { x.value * x.value }.history == nil)
    let y = x.value.detached * x.value
    #expect(try #require(gradients(of: y)[x]).item() == 3)
    #expect(gradients(of: x.value.detached * x.value.detached)[x] == nil)
  }

  @Test("Gradients add, scale and have a norm over all parameters")
  func gradientSums() throws {
    let (a, b) = (parameter([1, 2], [2]), parameter([3], [1]))
    let seed = Tensor([3, 0], [2], on: device)
    var sum = gradients(of: [(a.value * 1, seed)])
    sum += gradients(of: [(a.value * 1, seed), (b.value * 8, Tensor([1], [1], on: device))])
    sum.scale(by: 0.5)
    #expect(try #require(sum[a]).array() == [3, 0])
    #expect(try #require(sum[b]).item() == 4)
    #expect(sum.norm() == 5)
    #expect(Gradients().norm() == 0)
  }

  @Test("A frozen linear keeps no activation alive; one that trains keeps its input")
  func savedActivations() {
    let x = parameter(Array(repeating: 1, count: 3 * 8), [3, 8])
    let weight = parameter(Array(repeating: 1, count: 4 * 8), [4, 8], trainable: false)
    let rowBytes = (input: 3 * 8 * 4, output: 3 * 4 * 4)
    func kept() -> Int {
      let before = backend.liveByteCount
      let y = linear(x.value * 2, weight.value)
      return withExtendedLifetime(y) { backend.liveByteCount - before }
    }
    #expect(kept() == rowBytes.output)
    weight.isTrainable = true
    #expect(kept() == rowBytes.output + rowBytes.input)
  }

  @Test("A sweep frees what was saved as it passes")
  func freedActivations() {
    let x = parameter([1, 2, 3], [3, 1])
    let before = backend.liveByteCount
    let y = activate(activate(activate(x.value, .silu), .silu), .silu)
    #expect(backend.liveByteCount == before + 3 * 3 * 4)
    _ = gradients(of: [(y, Tensor([1, 1, 1], [3, 1], on: device))])
    #expect(withExtendedLifetime(y) { backend.liveByteCount } == before + 3 * 4)
  }

  @Test("A parameter that trains is float32 in memory of its own")
  func parameters() {
    let stored = backend.convert(Tensor([1, 2], [2], on: device), to: .bfloat16)
    let x = Parameter("x", stored)
    let copy = x.copy()
    x.isTrainable = true
    #expect(x.value.dtype == .float32)
    #expect(x.value.array() == [1, 2])
    #expect(copy.value.dtype == .bfloat16)
    #expect(copy.value.storage !== stored.storage)
    x.isTrainable = false
    #expect((x.value * 2).history == nil)
  }
}
