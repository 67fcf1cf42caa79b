import CMaTVLMKernels
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Rounding weights to groups of small integers, and multiplying with them")
struct QuantizationTests {
  static let backends = CPUKernelsTests.backends
  static let quantizations = Quantization.Code.allCases.flatMap { code in
    Quantization.groups.map { Quantization(code, group: $0) }
  }
  // Neither whole panels nor whole groups.
  private let rows = 35
  private let columns = 588

  /// Normal numbers; in some groups an outlier, only zeros, or numbers too small for a scale.
  private func weights() -> [Float] {
    var generator = RandomGenerator(seed: 7)
    var values = (0..<rows * columns).map { _ in Float(generator.normal()) }
    values[3 * columns + 40] = 60
    values[4 * columns + 1] = -60
    for column in 0..<256 {
      (values[column], values[columns + column]) = (0, values[column] * 1e-38)
    }
    return values
  }

  /// Elements of each group, and of what is left of a row.
  private func groups(_ group: Int) -> [Range<Int>] {
    (0..<rows).flatMap { row in
      stride(from: 0, to: columns, by: group).map {
        row * columns + $0..<row * columns + min(columns, $0 + group)
      }
    }
  }

  @Test("int8: no weight is further off than half a step", arguments: backends)
  func int8(_ backend: CPUBackend) {
    let values = weights()
    for quantization in Self.quantizations where quantization.code == .int8 {
      let x = Tensor(values, [rows, columns], on: Device(backend))
      let back = backend.convert(x, to: .quantized(quantization)).array()
      for range in groups(quantization.group) {
        let top = range.reduce(0) { max($0, values[$1].magnitude) }
        // The scale is rounded up to bfloat16, by at most 1/128 of itself.
        let half = top / 127 * (1 + 0x1p-7) / 2 + 1e-27
        #expect(range.allSatisfy { (values[$0] - back[$0]).magnitude <= half }, "\(range)")
      }
    }
  }

  @Test(
    "int4: no weight is far off, and all are nearer than with each group's largest as 7",
    arguments: backends)
  func int4(_ backend: CPUBackend) {
    let values = weights()
    for quantization in Self.quantizations where quantization.code == .int4 {
      let x = Tensor(values, [rows, columns], on: Device(backend))
      let back = backend.convert(x, to: .quantized(quantization)).array()
      var (plain, found) = (0.0, 0.0)
      for range in groups(quantization.group) {
        let scale = range.reduce(0) { max($0, values[$1].magnitude) } / 7
        let simple = range.reduce(0.0) { sum, i in
          let code = scale > 0 ? (values[i] / scale).rounded() : 0
          let error = Double(values[i] - code * scale)
          return sum + error * error
        }
        let error = range.reduce(0.0) { sum, i in
          let error = Double(values[i] - back[i])
          return sum + error * error
        }
        plain += simple
        found += error
        // With the smallest scale that is tried, 1/9 of the largest weight, one of the other sign is cut
        // from 9 steps to 7: by 2/9 of the largest, and what bfloat16 adds.
        let most = 7 * scale * (2 / 9 + 0x1p-8) + 1e-29
        #expect(range.allSatisfy { (values[$0] - back[$0]).magnitude <= most }, "\(range)")
      }
      #expect(found < 0.9 * plain)
    }
  }

  @Test("Every instruction set stores the same bits", arguments: quantizations)
  func sameBits(_ quantization: Quantization) {
    let stored = Self.backends.map { backend in
      let x = Tensor(weights(), [rows, columns], on: Device(backend))
      return backend.convert(x, to: .quantized(quantization)).array()
    }
    for other in stored.dropFirst() { #expect(other == stored[0]) }
  }

  @Test("Products are those of rows rounded to int8, whatever their number", arguments: backends)
  func products(_ backend: CPUBackend) {
    let device = Device(backend)
    var generator = RandomGenerator(seed: 8)
    for quantization in Self.quantizations {
      let weight = backend.convert(
        Tensor(weights(), [rows, columns], on: device), to: .quantized(quantization))
      let dense = weight.array()
      for count in [1, 2, 5, 6, 7, 13, 400] {
        let x = (0..<count * columns).map { _ in Float(generator.normal()) }
        let rounded = Self.roundedRows(x, columns, quantization.group)
        let y = backend.linear(Tensor(x, [count, columns], on: device), weight, nil).array()
        let expected = (0..<count).flatMap { t in
          (0..<rows).map { o in
            Float(
              (0..<columns).reduce(0.0) {
                $0 + rounded[t * columns + $1] * Double(dense[o * columns + $1])
              })
          }
        }
        // Sums within a group are exact; those of at most twenty groups are float32.
        let difference = mismatch(y, expected, relativeL2: 1e-6)
        #expect(
          difference == nil, "\(quantization), \(count) rows: \(difference?.description ?? "")")
      }
    }
  }

  @Test("A row's product has the same bits alone and among others", arguments: backends)
  func rowsAmongOthers(_ backend: CPUBackend) {
    let device = Device(backend)
    var generator = RandomGenerator(seed: 9)
    let x = (0..<50 * columns).map { _ in Float(generator.normal()) }
    for quantization in Self.quantizations {
      let weight = backend.convert(
        Tensor(weights(), [rows, columns], on: device), to: .quantized(quantization))
      let all = backend.linear(Tensor(x, [50, columns], on: device), weight, nil).array()
      for row in [0, 15, 31, 49] {
        let own = Array(x[row * columns..<(row + 1) * columns])
        let alone = backend.linear(Tensor(own, [1, columns], on: device), weight, nil).array()
        #expect(alone == Array(all[row * rows..<(row + 1) * rows]), "\(quantization), row \(row)")
      }
    }
  }

  private static func roundedRows(_ x: [Float], _ width: Int, _ group: Int) -> [Double] {
    stride(from: 0, to: x.count, by: width).flatMap { row in
      stride(from: row, to: row + width, by: group).flatMap { start -> [Double] in
        let part = x[start..<min(row + width, start + group)]
        let scale = part.reduce(0) { max($0, $1.magnitude) } / 127
        let inverse = 1 / scale
        return part.map { Double(($0 * inverse).rounded(.toNearestOrEven)) * Double(scale) }
      }
    }
  }

  @Test("What is not a number, in rows or in weights, does not vanish", arguments: backends)
  func notANumber(_ backend: CPUBackend) {
    let device = Device(backend)
    for (quantization, bad) in zip(
      Self.quantizations, [Float.nan, .infinity, -.infinity, .nan] * 2)
    {
      var x = [Float](repeating: 1, count: 3 * 100)
      x[150] = bad
      let w = [Float](repeating: 0.5, count: 20 * 100)
      let type = DType.quantized(quantization)
      let weight = backend.convert(Tensor(w, [20, 100], on: device), to: type)
      let y = backend.linear(Tensor(x, [3, 100], on: device), weight, nil).array()
      #expect(y.indices.allSatisfy { y[$0].isFinite == !(20..<40).contains($0) })
      var damaged = w
      damaged[17 * 100 + 3] = bad
      let other = backend.convert(Tensor(damaged, [20, 100], on: device), to: type)
      let z = backend.linear(
        Tensor([Float](repeating: 1, count: 100), [1, 100], on: device), other, nil
      ).array()
      #expect(z.indices.allSatisfy { z[$0].isFinite == ($0 != 17) })
    }
  }
}

private func * (_ values: [Float], _ count: Int) -> [Float] {
  (0..<count).flatMap { _ in values }
}
