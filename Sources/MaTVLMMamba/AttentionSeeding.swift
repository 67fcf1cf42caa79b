import Foundation
import MaTVLMTensor

/// The projections of an attention layer, the source of a mixer's first values.
public struct AttentionProjections: Sendable {
  public let query: Linear
  public let key: Linear
  public let value: Linear
  public let output: Linear

  public init(query: Linear, key: Linear, value: Linear, output: Linear) {
    (self.query, self.key, self.value, self.output) = (query, key, value, output)
  }
}

/// How a mixer starts from the attention layer that it replaces.
public enum AttentionSeeding: String, Sendable, Hashable, Codable, CaseIterable {
  /// The paper's (section 3.2, Figure 3): x ← V, B ← K, C ← Q, out ← output projection; gate, Δ, A
  /// and the convolution are drawn.
  case paper
  /// The same, but the convolution passes its rows through, Δ does not depend on the row, and A = −1,
  /// so that the state decays slowly (after mmMamba's imitating initialisation, arXiv:2502.13145).
  case identity
}

extension Mamba2Mixer {
  /// A mixer seeded from attention; in float32, with parameters of its own.
  ///
  /// - Parameters:
  ///   - path: what checkpoint names begin with: `….layers.4.mamba`.
  ///   - attention: Q and the output projection are [D, D], K and V [shared, D]. Their biases are
  ///     used when the configuration has projection biases and dropped when not, as the authors do.
  ///   - seed: draws what is not copied.
  /// - Precondition: the attention has the configuration's widths.
  public init(
    _ configuration: Mamba2Configuration, named path: String,
    seededFrom attention: AttentionProjections, _ seeding: AttentionSeeding, seed: UInt64
  ) {
    let device = attention.query.weight.value.device
    let source = path.split(separator: ".").reduce(ParameterSource.fresh(seed: seed, on: device)) {
      $0[String($1)]
    }
    // A fresh source draws; it reads nothing that could be missing.
    guard let drawn = try? Mamba2Mixer(configuration, source) else {
      fatalError("Mamba2Mixer: \(path) cannot be drawn")
    }
    self = drawn
    copyProjections(from: attention)
    if seeding == .identity { startAsIdentity() }
  }

  /// x ← V, B ← K, C ← Q, unscaled, out ← output projection.
  private func copyProjections(from attention: AttentionProjections) {
    let (inner, shared) = (configuration.innerWidth, configuration.sharedWidth)
    let rows = [
      (inner, attention.value), (inner + shared, attention.key),
      (inner + 2 * shared, attention.query),
    ]
    inputProjection.weight.overwrite { weights in
      for (start, projection) in rows {
        weights.replace(
          from: start * configuration.modelWidth, with: projection.weight.value.array())
      }
    }
    inputProjection.bias?.overwrite { biases in
      for (start, projection) in rows {
        if let bias = projection.bias { biases.replace(from: start, with: bias.value.array()) }
      }
    }
    outputProjection.weight.overwrite { $0 = attention.output.weight.value.array() }
    if let bias = attention.output.bias {
      outputProjection.bias?.overwrite { $0 = bias.value.array() }
    }
  }

  private func startAsIdentity() {
    let taps = configuration.taps
    convolutionWeight.overwrite { weights in
      for index in weights.indices { weights[index] = index % taps == taps - 1 ? 1 : 0 }
    }
    convolutionBias.overwrite { $0 = $0.map { _ in 0 } }
    let firstStep = configuration.projectionWidth - configuration.heads
    inputProjection.weight.overwrite { weights in
      for index in firstStep * configuration.modelWidth..<weights.count { weights[index] = 0 }
    }
    inputProjection.bias?.overwrite { biases in
      for index in firstStep..<biases.count { biases[index] = 0 }
    }
    aLog.overwrite { $0 = $0.map { _ in 0 } }
  }
}

extension Parameter {
  /// Changes the value on the host.
  fileprivate func overwrite(_ change: (inout [Float]) -> Void) {
    guard value.backend.holdsValues else { return }
    var values = value.array()
    change(&values)
    assign(Tensor(values, shape, on: value.device))
  }
}

extension [Float] {
  fileprivate mutating func replace(from start: Int, with values: [Float]) {
    require(start + values.count <= count, "AttentionSeeding: widths do not match")
    replaceSubrange(start..<start + values.count, with: values)
  }
}
