import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Products of many rows keep the digits of float32")
struct ProductAccuracyTests {
  static let backends = CPUVariant.all.filter { !$0.roundsRows }

  /// Numbers of every size between 2⁻⁴⁰ and 2⁴⁰, with all their digits.
  private static func wide(_ count: Int, _ generator: inout RandomGenerator) -> [Float] {
    (0..<count).map { _ in
      let exponent = Int(generator.next() % 81) - 40
      return Float(sign: .plus, exponent: exponent, significand: Float(generator.normal()))
    }
  }

  /// What a sum of products is, and the sum of their magnitudes, which roundings are measured by.
  private static func exact(
    _ depth: Int, _ factors: (Int) -> (Float, Float)
  ) -> (sum: Double, size: Double) {
    (0..<depth).reduce((0, 0)) { total, k in
      let (a, b) = factors(k)
      let product = Double(a) * Double(b)
      return (total.0 + product, total.1 + product.magnitude)
    }
  }

  private func expect(
    _ y: Tensor, _ name: String, depth: Int,
    _ factors: (_ row: Int, _ column: Int, _ k: Int) -> (Float, Float)
  ) {
    let (values, width) = (y.array(), y.shape.width)
    let worst = values.indices.map { index in
      let (sum, size) = Self.exact(depth) { factors(index / width, index % width, $0) }
      return (Double(values[index]) - sum).magnitude / size
    }.max()!
    // Each of float32's roundings is at most 6e-8 of what has been added up.
    #expect(worst <= 2e-6, "\(name): \(worst) of the sum of magnitudes")
  }

  @Test(
    "Elements of every size, in layers and in gradients of rows and weights",
    arguments: backends, [DType.float32, .bfloat16, .float16])
  func everySize(_ variant: CPUVariant, _ type: DType) {
    let (rows, inputs, outputs) = (83, 530, 37)
    let backend = variant.device.backend
    var generator = RandomGenerator(seed: 5)
    func tensor(_ height: Int, _ width: Int) -> Tensor {
      Tensor(Self.wide(height * width, &generator), [height, width], on: variant.device)
    }
    let (x, dy) = (tensor(rows, inputs), tensor(rows, outputs))
    // float16 ends at 65504.
    let weight =
      type == .float16
      ? Tensor(
        (0..<outputs * inputs).map { _ in Float(generator.normal()) }, [outputs, inputs],
        on: variant.device) : tensor(outputs, inputs)
    let stored = backend.convert(weight, to: type)
    let w = backend.convert(stored, to: .float32).array()
    let (xs, dys) = (x.array(), dy.array())
    expect(backend.linear(x, stored, nil), "x wᵀ", depth: inputs) { row, column, k in
      (xs[row * inputs + k], w[column * inputs + k])
    }
    expect(backend.linearInputGradient(dy, stored), "dy w", depth: outputs) { row, column, k in
      (dys[row * outputs + k], w[k * inputs + column])
    }
    expect(backend.linearWeightGradient(dy, x), "dyᵀ x", depth: rows) { row, column, k in
      (dys[k * outputs + row], xs[k * inputs + column])
    }
  }

  @Test("What is not finite stays so, and touches its own row only", arguments: backends)
  func notFinite(_ variant: CPUVariant) {
    let (rows, width) = (70, 40)
    for bad in [Float.infinity, -.infinity, .nan] {
      var x = [Float](repeating: 1, count: rows * width)
      x[33 * width + 7] = bad
      let weight = Tensor(
        [Float](repeating: 0.5, count: 20 * width), [20, width], on: variant.device)
      let y = variant.device.backend.linear(
        Tensor(x, [rows, width], on: variant.device), weight, nil
      ).array()
      for (index, value) in y.enumerated() {
        #expect(value.isFinite == (index / 20 != 33), "\(bad): element \(index) is \(value)")
      }
    }
  }
}
