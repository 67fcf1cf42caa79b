import Foundation
import MaTVLMTensor

/// The distributions that PyTorch and the authors' mixer draw parameters from (specification B.3).
struct MixerInitialization {
  private let width: Int
  private let taps: Int

  init(_ configuration: Mamba2Configuration) {
    (width, taps) = (configuration.modelWidth, configuration.taps)
  }

  /// Linear layers: U(±1/√D).
  var projection: Initialization { .uniform(bound: 1 / Float(width).squareRoot()) }

  /// The depthwise convolution, whose fan-in is its taps: U(±1/√K).
  var convolution: Initialization { .uniform(bound: 1 / Float(taps).squareRoot()) }

  /// A = −U(1, 16).
  var aLog: Initialization { .drawn { Float(log($0.uniform(1, 16))) } }

  /// softplus(bias) is log-uniform in [0.001, 0.1], and at least 0.0001.
  var stepBias: Initialization {
    .drawn { Float(Self.inverseSoftplus(max(1e-4, exp($0.uniform(log(0.001), log(0.1)))))) }
  }

  /// The number whose softplus is `y`.
  static func inverseSoftplus(_ y: Double) -> Double { y + log(-expm1(-y)) }
}
