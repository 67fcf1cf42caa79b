import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Least squares over rows that come a few at a time")
struct NormalEquationsTests {
  @Test("a line through three points: slope and bias by hand")
  func line() throws {
    // y = (1 + 2t, 4 − t) at t = 0, 1, 2.
    var equations = NormalEquations(inputs: 1, outputs: 2, hasBias: true)
    equations.add(Tensor([0, 1], [2, 1]), Tensor([1, 4, 3, 3], [2, 2]))
    equations.add(Tensor([2], [1, 1]), Tensor([5, 2], [1, 2]))
    let solution = try equations.solve(ridge: 0)
    #expect(mismatch(solution.weight, [2, -1], relativeL2: 1e-7) == nil)
    #expect(mismatch(try #require(solution.bias), [1, 4], relativeL2: 1e-7) == nil)
    #expect(solution.ridge == 0)
  }

  @Test("two unknowns without a bias, and a ridge that is a part of the diagonal's mean")
  func ridge() throws {
    // XᵀX = [[5, 2], [2, 1]], XᵀY = [8, 3]: w = (2, −1). With 3 · 1/3 on the diagonal, whose mean is
    // 3: [[6, 2], [2, 2]] w = [8, 3], w = (1.25, 0.25).
    var equations = NormalEquations(inputs: 2, outputs: 1, hasBias: false)
    equations.add(Tensor([1, 0, 2, 1], [2, 2]), Tensor([2, 3], [2, 1]))
    let plain = try equations.solve(ridge: 0)
    #expect(mismatch(plain.weight, [2, -1], relativeL2: 1e-7) == nil && plain.bias == nil)
    let ridged = try equations.solve(ridge: 1.0 / 3)
    #expect(mismatch(ridged.weight, [1.25, 0.25], relativeL2: 1e-7) == nil)
  }

  @Test("many rows in any pieces: the layer that made them", arguments: [false, true])
  func layer(_ hasBias: Bool) throws {
    var generator = RandomGenerator(seed: 2)
    func normal(_ shape: Shape) -> Tensor {
      Tensor((0..<shape.count).map { _ in Float(generator.normal()) }, shape)
    }
    let (weight, bias) = (normal([3, 8]), normal([3]))
    var equations = NormalEquations(inputs: 8, outputs: 3, hasBias: hasBias)
    // More than are held in double precision at once, and fewer.
    for rows in [1300, 7] {
      let x = normal([rows, 8])
      equations.add(x, linear(x, weight, bias: hasBias ? bias : nil))
    }
    let solution = try equations.solve(ridge: 0)
    // Targets are rounded to float32.
    #expect(mismatch(solution.weight, weight.array(), relativeL2: 1e-6) == nil)
    if hasBias {
      #expect(mismatch(try #require(solution.bias), bias.array(), relativeL2: 1e-6) == nil)
    }
  }

  @Test("equal columns have no answer without a ridge, so it grows and is told")
  func growing() throws {
    var equations = NormalEquations(inputs: 2, outputs: 1, hasBias: false)
    equations.add(Tensor([1, 1, 2, 2], [2, 2]), Tensor([2, 4], [2, 1]))
    let solution = try equations.solve(ridge: 0)
    #expect(solution.ridge == 1e-8)
    #expect(mismatch(solution.weight, [1, 1], relativeL2: 1e-6) == nil)
  }

  @Test("what no ridge can help is an error")
  func failures() {
    var zeros = NormalEquations(inputs: 2, outputs: 1, hasBias: false)
    zeros.add(.zeros([4, 2]), .zeros([4, 1]))
    #expect(throws: LinearAlgebra.Failure.notPositiveDefinite(order: 1)) {
      try zeros.solve(ridge: 1e-4)
    }
    var undefined = NormalEquations(inputs: 1, outputs: 1, hasBias: true)
    undefined.add(Tensor([1, .nan], [2, 1]), .zeros([2, 1]))
    #expect(throws: LinearAlgebra.Failure.notFinite) { try undefined.solve(ridge: 1e-4) }
  }
}
