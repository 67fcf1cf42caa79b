import Foundation
import MaTVLMTensor
import Synchronization
import Testing

@Suite("Fresh parameters")
struct ParameterSourceTests {
  private func values(
    _ seed: UInt64, _ name: String, _ shape: Shape = [40, 50], _ dtype: DType = .float32,
    _ initial: Initialization = .normal(deviation: 0.5)
  ) throws -> [Float] {
    try ParameterSource.fresh(seed: seed, matrices: dtype)["layer"].matrix(name, shape, initial)
      .value.array()
  }

  @Test("values depend on seed and name, not on the order of construction")
  func order() throws {
    let source = ParameterSource.fresh(seed: 7)["layer"]
    let b = try source.matrix("b", [40, 50], .normal(deviation: 0.5)).value.array()
    let a = try source.matrix("a", [40, 50], .normal(deviation: 0.5)).value.array()
    #expect(try values(7, "a") == a)
    #expect(try values(7, "b") == b)
    #expect(a != b)
    #expect(try values(8, "a") != a)
  }

  @Test("names are whole, types are as asked, nothing is contained")
  func names() throws {
    let source = ParameterSource.fresh(seed: 7, matrices: .bfloat16)["layers"][3]
    let weight = try source.matrix("weight", [2, 3], .ones)
    let bias = try source.vector("bias", shape: [2, 1, 3], .zeros)
    #expect(weight.name == "layers.3.weight" && bias.name == "layers.3.bias")
    #expect(weight.value.dtype == .bfloat16 && bias.value.dtype == .float32)
    #expect(weight.value.array() == [1, 1, 1, 1, 1, 1])
    #expect(bias.value.array() == [0, 0, 0, 0, 0, 0] && bias.shape == [2, 1, 3])
    #expect(!source.contains("weight"))
    #expect(!weight.isTrainable)
  }

  @Test("moments and bounds of the distributions, over more than one block")
  func distributions() throws {
    let normal = try values(1, "n", [300, 1000])
    let mean = normal.reduce(0, +) / 300_000
    let variance = normal.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / 300_000
    // Six standard errors: 0.5/√300000 and 0.25·√(2/300000).
    #expect(abs(mean) < 0.0055 && abs(variance - 0.25) < 0.0039, "\(mean) \(variance)")
    #expect(Set(normal).count > 290_000)  // blocks do not repeat each other
    let uniform = try values(1, "u", [300, 1000], .float32, .uniform(bound: 2))
    #expect(uniform.allSatisfy { $0 >= -2 && $0 <= 2 })
    #expect(uniform.min()! < -1.99 && uniform.max()! > 1.99)
  }

  @Test("drawn values come one by one, in order")
  func drawn() throws {
    let calls = Mutex(0)
    let parameter = try ParameterSource.fresh(seed: 2).vector(
      "a", 5,
      .drawn { _ in
        calls.withLock { $0 += 1 }
        return Float(calls.withLock(\.self))
      })
    #expect(parameter.value.array() == [1, 2, 3, 4, 5])
    let a = try values(2, "d", [6], .float32, .drawn { Float($0.uniform()) })
    #expect(try values(2, "d", [3], .float32, .drawn { Float($0.uniform()) }) == Array(a[..<3]))
  }

  @Test("bfloat16 is the rounded float32")
  func rounding() throws {
    let exact = try values(4, "a")
    let rounded = try values(4, "a", [40, 50], .bfloat16)
    #expect(exact != rounded)
    // Half a unit in the last of 8 bits.
    #expect(zip(exact, rounded).allSatisfy { abs($0 - $1) <= abs($0) * 0x1p-8 })
  }
}
