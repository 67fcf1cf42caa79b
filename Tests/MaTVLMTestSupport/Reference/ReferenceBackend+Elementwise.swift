import Foundation
import MaTVLMTensor

extension ReferenceBackend {
  package func add(_ a: Tensor, _ b: Tensor) -> Tensor {
    let (left, right) = (floats(a, a.shape, "add: a"), floats(b, a.shape, "add: b"))
    return tensor(zip(left.values, right.values).map(+), a.shape)
  }

  package func multiply(_ a: Tensor, _ b: Tensor) -> Tensor {
    let (left, right) = (floats(a, a.shape, "multiply: a"), floats(b, a.shape, "multiply: b"))
    return tensor(zip(left.values, right.values).map(*), a.shape)
  }

  package func scale(_ x: Tensor, by factor: Float) -> Tensor {
    tensor(floats(x, x.shape, "scale: x").values.map { $0 * Double(factor) }, x.shape)
  }

  package func activate(_ x: Tensor, _ activation: Activation) -> Tensor {
    tensor(floats(x, x.shape, "activate: x").values.map { activation.value($0) }, x.shape)
  }

  package func activateGradient(_ dy: Tensor, _ x: Tensor, _ activation: Activation) -> Tensor {
    let upstream = floats(dy, x.shape, "activateGradient: dy")
    let input = floats(x, x.shape, "activateGradient: x")
    let products = zip(upstream.values, input.values).map { $0 * activation.derivative($1) }
    return tensor(products, x.shape)
  }
}

func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }

extension Activation {
  func value(_ x: Double) -> Double {
    switch self {
    case .gelu: x * normalDistribution(x)
    case .geluTanh: x / 2 * (1 + tanh(tanhArgument(x)))
    case .silu: x * sigmoid(x)
    }
  }

  func derivative(_ x: Double) -> Double {
    switch self {
    case .gelu:
      return normalDistribution(x) + x * exp(-x * x / 2) / (2 * Double.pi).squareRoot()
    case .geluTanh:
      let t = tanh(tanhArgument(x))
      let slope = (2 / Double.pi).squareRoot() * (1 + 3 * 0.044715 * x * x)
      return (1 + t) / 2 + x / 2 * (1 - t * t) * slope
    case .silu:
      return sigmoid(x) * (1 + x * (1 - sigmoid(x)))
    }
  }

  /// Φ: the probability that a standard normal number is below x.
  private func normalDistribution(_ x: Double) -> Double { erfc(-x / 2.0.squareRoot()) / 2 }

  private func tanhArgument(_ x: Double) -> Double {
    (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)
  }
}
