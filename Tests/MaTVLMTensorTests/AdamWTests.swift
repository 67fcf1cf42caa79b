import Foundation
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("AdamW against its formula")
struct AdamWTests {
  /// One number, updated in double precision.
  private struct Plain {
    var value: Double
    var (first, second, step) = (0.0, 0.0, 0)

    init(_ value: Double) { self.value = value }

    mutating func update(_ gradient: Double, rate: Double, decay: Double) {
      step += 1
      first = 0.9 * first + 0.1 * gradient
      second = 0.95 * second + 0.05 * gradient * gradient
      let mean = first / (1 - pow(0.9, Double(step)))
      let deviation = (second / (1 - pow(0.95, Double(step)))).squareRoot()
      value -= rate * decay * value + rate * mean / (deviation + 1e-8)
    }
  }

  private func parameter(_ name: String, _ value: Float, _ shape: Shape) -> Parameter {
    let parameter = Parameter(name, Tensor([value], shape))
    parameter.isTrainable = true
    return parameter
  }

  @Test("a parameter that sits updates out keeps its own count of steps; vectors do not decay")
  func steps() {
    let always = parameter("always.weight", 0.5, [1, 1])
    let sometimes = parameter("sometimes", -0.25, [1])
    var (a, b) = (Plain(0.5), Plain(-0.25))
    var optimizer = AdamW()
    for step in 0..<6 {
      let (x, y) = (Float(step) - 2.5, Float(step) + 0.5)
      var loss = scaled(always.value.reshaped([1]), by: x)
      if step % 2 == 0 { loss = loss + scaled(sometimes.value, by: y) }
      optimizer.update(
        [always, sometimes], with: gradients(of: loss), learningRate: 0.1, gradientScale: 0.5)
      a.update(Double(x) * 0.5, rate: 0.1, decay: 0.01)
      if step % 2 == 0 { b.update(Double(y) * 0.5, rate: 0.1, decay: 0) }
    }
    #expect(deviation(Double(always.value.item()), from: a.value, relative: 1e-5) == nil)
    #expect(deviation(Double(sometimes.value.item()), from: b.value, relative: 1e-5) == nil)
    #expect(optimizer.moments["always.weight"]?.step == 6)
    #expect(optimizer.moments["sometimes"]?.step == 3)
  }

  private func scaled(_ x: Tensor, by factor: Float) -> Tensor {
    linear(x.reshaped([1, 1]), Tensor([factor], [1, 1])).reshaped([1])
  }
}
