import Foundation

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101), as
/// `torch.optim.AdamW` computes it.
public struct AdamW: Sendable {
  public struct Configuration: Sendable, Hashable, Codable {
    public var beta1: Float = 0.9
    public var beta2: Float = 0.95
    public var epsilon: Float = 1e-8
    /// Taken off matrices only; vectors and biases never decay.
    public var weightDecay: Float = 0.01

    public init() {}
  }

  /// The running means of a parameter's gradient and of its square: float32, of its shape.
  public struct Moments: Sendable {
    public let first: Tensor
    public let second: Tensor
    /// Updates that went into them. A parameter without a gradient sits an update out, as the
    /// connector does when no sample has a picture, so counts differ.
    public fileprivate(set) var step: Int

    /// - Precondition: both tensors are float32, of one shape, and in memory of their own.
    package init(first: Tensor, second: Tensor, step: Int) {
      (self.first, self.second, self.step) = (first, second, step)
    }
  }

  public let configuration: Configuration
  /// The moments by parameter name; made at a parameter's first update.
  public private(set) var moments: [String: Moments] = [:]

  public init(_ configuration: Configuration = .init()) { self.configuration = configuration }

  /// Continues from saved moments.
  package init(_ configuration: Configuration, moments: [String: Moments]) {
    (self.configuration, self.moments) = (configuration, moments)
  }

  /// One step for every parameter that has a gradient.
  ///
  /// - Parameters:
  ///   - gradients: of the loss; multiplied by `gradientScale` first.
  ///   - gradientScale: the clipping factor, 1 for none.
  ///   - masks: 1 where a parameter of this name trains and 0 where not, of its shape, float32; the
  ///     gradients are 0 there too.
  public mutating func update(
    _ parameters: [Parameter], with gradients: Gradients, learningRate: Float,
    gradientScale: Float = 1, masks: [String: Tensor] = [:]
  ) {
    var updates: [Int: [AdamWUpdate]] = [:]  // by the step of their moments
    for parameter in parameters {
      guard let gradient = gradients[parameter] else { continue }
      let moments = nextMoments(of: parameter)
      let decay = Self.decays(parameter) ? configuration.weightDecay : 0
      let mask = masks[parameter.name]
      if let mask, decay > 0 {
        // With gradient and moments 0 the step itself leaves a number as it is; its decay would not.
        let (value, backend) = (parameter.value.detached, parameter.value.backend)
        let decayed = backend.scale(backend.multiply(value, mask), by: -learningRate * decay)
        parameter.assign(backend.add(value, decayed))
      }
      updates[moments.step, default: []].append(
        AdamWUpdate(
          value: parameter.value.detached, gradient: gradient, firstMoment: moments.first,
          secondMoment: moments.second,
          weightDecay: mask == nil ? decay : 0))
    }
    for (step, group) in updates.sorted(by: { $0.key < $1.key }) {
      group[0].value.backend.adamW(group, constants(step, learningRate, gradientScale))
    }
  }

  /// Whether weight decay applies: to tensors of more than one dimension that are not biases.
  public static func decays(_ parameter: Parameter) -> Bool {
    parameter.shape.dimensions.count > 1 && !parameter.name.hasSuffix("bias")
  }

  /// The moments with the update counted in that is about to change them.
  private mutating func nextMoments(of parameter: Parameter) -> Moments {
    let device = parameter.value.device
    var next =
      moments[parameter.name]
      ?? Moments(
        first: .zeros(parameter.shape, on: device), second: .zeros(parameter.shape, on: device),
        step: 0)
    next.step += 1
    moments[parameter.name] = next
    return next
  }

  private func constants(_ step: Int, _ learningRate: Float, _ gradientScale: Float) -> AdamWStep {
    // In double: float32 powers near 1 lose the digits that matter here.
    func correction(_ beta: Float) -> Float { Float(1 - pow(Double(beta), Double(step))) }
    return AdamWStep(
      learningRate: learningRate, beta1: configuration.beta1, beta2: configuration.beta2,
      epsilon: configuration.epsilon, correction1: correction(configuration.beta1),
      correction2: correction(configuration.beta2), gradientScale: gradientScale)
  }
}
