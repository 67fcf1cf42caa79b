import CMaTVLMKernels
import Foundation
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Kernels of every instruction set, to the last digits")
struct CPUKernelsTests {
  static let backends = CPUVariant.all.map { $0.device.backend as! CPUBackend }

  private func tensor<Element>(
    _ values: [Element], _ shape: Shape, _ dtype: DType, on backend: CPUBackend
  ) -> Tensor {
    let x = Tensor(uninitialized: shape, dtype, on: backend)
    values.withUnsafeBytes { backend.write($0, to: x.storage.memory, at: 0) }
    return x
  }

  private func halves(_ x: Tensor) -> [UInt16] {
    [UInt16](unsafeUninitializedCapacity: x.shape.count) { buffer, count in
      x.backend.read(x.storage.memory, at: 0, into: UnsafeMutableRawBufferPointer(buffer))
      count = x.shape.count
    }
  }

  /// Every sign and exponent, with mantissas about the places where rounding turns.
  private static let delicateFloats: [Float] = (0..<512).flatMap { top in
    [0, 1, 0x0FFF, 0x1000, 0x1001, 0x2FFF, 0x3000, 0x3001, 0x7FFF, 0x8000, 0x8001, 0x17FFF]
      .flatMap { low in [0, 0x18000, 0x400000, 0x7E0000].map { low | $0 } }
      .map { Float(bitPattern: UInt32(top) << 23 | UInt32($0)) }
  }

  @Test("Every bfloat16 becomes the float with its bits, and itself again", arguments: backends)
  func bfloat16(_ backend: CPUBackend) {
    let all = (0...UInt16.max).map { $0 }
    let wide = backend.convert(tensor(all, [all.count], .bfloat16, on: backend), to: .float32)
    #expect(wide.array().map(\.bitPattern) == all.map { UInt32($0) << 16 })
    let back = halves(backend.convert(wide, to: .bfloat16))
    #expect(
      zip(all, back).allSatisfy { bits, result in
        Float(bitPattern: UInt32(bits) << 16).isNaN ? result == bits | 0x40 : result == bits
      })
  }

  @Test("Floats go to the nearest bfloat16, ties to even", arguments: backends)
  func roundingToBFloat16(_ backend: CPUBackend) {
    let floats = Self.delicateFloats
    let x = tensor(floats, [floats.count], .float32, on: backend)
    for (float, result) in zip(floats, halves(backend.convert(x, to: .bfloat16))) {
      let value = Float(bitPattern: UInt32(result) << 16)
      guard !float.isNaN else {
        #expect(value.isNaN)
        continue
      }
      let tail = float.bitPattern & 0xFFFF
      let below = UInt16(float.bitPattern >> 16)
      let isUp = tail > 0x8000 || (tail == 0x8000 && below % 2 == 1)
      #expect(result == (isUp ? below + 1 : below), "\(float)")
    }
  }

  #if !(os(macOS) && arch(x86_64))  // Swift has Float16 everywhere else.
    @Test("Every float16 becomes its float, and itself again", arguments: backends)
    func float16(_ backend: CPUBackend) {
      let all = (0...UInt16.max).filter { !Float16(bitPattern: $0).isNaN }
      let wide = backend.convert(tensor(all, [all.count], .float16, on: backend), to: .float32)
      #expect(wide.array() == all.map { Float(Float16(bitPattern: $0)) })
      #expect(halves(backend.convert(wide, to: .float16)) == all)
    }

    @Test("Floats go to the nearest float16, ties to even", arguments: backends)
    func roundingToFloat16(_ backend: CPUBackend) {
      let floats = Self.delicateFloats.filter { !$0.isNaN }
      let x = tensor(floats, [floats.count], .float32, on: backend)
      #expect(
        halves(backend.convert(x, to: .float16)) == floats.map { Float16($0).bitPattern })
    }
  #endif

  @Test(
    "Only where bfloat16 is multiplied are rows rounded to it, and only if asked",
    arguments: 0..<MATVLM_INSTRUCTION_SETS.rawValue)
  func rowsForBFloat16(_ set: UInt32) {
    guard let backend = CPUBackend(matvlm_instruction_set(set)) else { return }
    var generator = RandomGenerator(seed: 9)
    let width = 64
    let weight = backend.convert(
      tensor(
        (0..<24 * width).map { _ in Float(generator.normal()) }, [24, width], .float32, on: backend),
      to: .bfloat16)
    for (rows, mayRound) in [(1, true), (1, false), (2, true), (33, true), (33, false)] {
      backend.roundsRows = mayRound
      let x = tensor(
        (0..<rows * width).map { _ in Float(generator.normal()) }, [rows, width], .float32,
        on: backend)
      let rounded = backend.convert(backend.convert(x, to: .bfloat16), to: .float32)
      let isRounded =
        backend.linear(x, weight, nil).array() == backend.linear(rounded, weight, nil).array()
      #expect(isRounded == (backend.multipliesBFloat16 && mayRound))
    }
  }

  @Test("Activations and their derivatives, against the C library", arguments: backends)
  func activations(_ backend: CPUBackend) {
    let x = stride(from: Float(-12), through: 12, by: 0.00390625).map { $0 }
    let input = tensor(x, [x.count], .float32, on: backend)
    let ones = tensor(x.map { _ in Float(1) }, [x.count], .float32, on: backend)
    for activation in [Activation.gelu, .geluTanh, .silu] {
      let value = backend.activate(input, activation).array()
      let slope = backend.activateGradient(ones, input, activation).array()
      let expected = x.map { Self.exact(Double($0), activation) }
      for (index, expected) in expected.enumerated() {
        let error = abs(Double(value[index]) - expected.value)
        if error > 8e-7 * max(1, abs(expected.value)) {
          Issue.record("\(activation)(\(x[index])) is \(value[index]), not \(expected.value)")
        }
        if abs(Double(slope[index]) - expected.slope) > 1e-6 {
          Issue.record("\(activation)′(\(x[index])) is \(slope[index]), not \(expected.slope)")
        }
      }
    }
  }

  private static func exact(
    _ x: Double, _ activation: Activation
  ) -> (value: Double, slope: Double) {
    switch activation {
    case .gelu:
      let area = 0.5 * erfc(-x / 2.0.squareRoot())
      return (x * area, area + x * exp(-x * x / 2) / (2 * Double.pi).squareRoot())
    case .geluTanh:
      let inner = (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)
      let growth = (2 / Double.pi).squareRoot() * (1 + 3 * 0.044715 * x * x)
      let t = tanh(inner)
      return (0.5 * x * (1 + t), 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * growth)
    case .silu:
      let open = 1 / (1 + exp(-x))
      return (x * open, open + x * open * (1 - open))
    }
  }

  /// Logits come through an identity matrix, so that they are the same numbers for both sides.
  @Test(
    "Divergences keep their digits when a student is close to its teacher, or far",
    arguments: backends, [Float(0.003), 0.3, 30])
  func divergences(_ backend: CPUBackend, _ apart: Float) {
    let width = 203
    var generator = RandomGenerator(seed: 7)
    let teacher = (0..<width).map { _ in Float(3 * generator.normal()) }
    let student = teacher.map { $0 + apart * Float(generator.normal()) }
    let identity = (0..<width * width).map { Float($0 % (width + 1) == 0 ? 1 : 0) }
    let weight = tensor(identity, [width, width], .float32, on: backend)
    func head(_ row: [Float]) -> VocabularyHead {
      VocabularyHead(
        rows: tensor(row, [1, width], .float32, on: backend), weight: weight, bias: nil)
    }
    for kind in [Divergence.forward, .reverse, .jensenShannon, .jensenShannonAuthors] {
      var request = VocabularyLossRequest()
      (request.divergence, request.temperature) = (kind, 2)
      let result = backend.vocabularyLoss(head(student), teacher: head(teacher), request)
      let value = Double(result.divergence!.item())
      let expected = Self.divergence(kind, student, teacher, temperature: 2)
      // One rounding of a logit difference is 1e-7 of a logit: 1e-4 of the smallest differences.
      #expect(abs(value - expected) <= (apart < 0.01 ? 2e-4 : 2e-6) * expected, "\(kind)")
    }
  }

  private static func divergence(
    _ kind: Divergence, _ student: [Float], _ teacher: [Float], temperature: Double
  ) -> Double {
    func logSoftmax(_ x: [Float]) -> [Double] {
      let scaled = x.map { Double($0) / temperature }
      let sum = log(scaled.reduce(0) { $0 + exp($1) })
      return scaled.map { $0 - sum }
    }
    func divergence(_ p: [Double], _ q: [Double]) -> Double {
      zip(p, q).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) }
    }
    let (s, t) = (logSoftmax(student), logSoftmax(teacher))
    let mean = zip(s, t).map { log((exp($0) + exp($1)) / 2) }
    let value =
      switch kind {
      case .forward: divergence(t, s)
      case .reverse: divergence(s, t)
      case .jensenShannon: (divergence(t, mean) + divergence(s, mean)) / 2
      default: (divergence(mean, t) + divergence(mean, s)) / 2
      }
    return value * temperature * temperature
  }
}
