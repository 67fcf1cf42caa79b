import MaTVLMTensor

/// The descent of a calibration: a mixer that changes, and the best that it was.
struct MixerFit {
  private let mixer: Mamba2Mixer
  /// On the examples held back, of the best.
  private(set) var residual: Double
  /// After which pass it was best; 0: before the first.
  private(set) var pass = 0
  private var best: [Tensor] = []

  init(_ mixer: Mamba2Mixer, residual: Double) {
    (self.mixer, self.residual) = (mixer, residual)
    keep()
  }

  /// Changes every tensor of the mixer, and leaves it as it was best.
  /// - Throws: ``LinearAlgebra/Failure`` when numbers are no longer finite.
  mutating func descend(
    on examples: [MixerExample], heldBack: [MixerExample], _ calibration: MixerCalibration
  ) throws {
    let steps = calibration.passes * examples.count
    let schedule = LearningRateSchedule(
      peak: calibration.learningRate * 128 / Double(mixer.configuration.modelWidth),
      warmup: steps / 20, decay: steps * 2 / 5, total: steps)
    var optimizer = AdamW()
    for number in 0..<calibration.passes {
      for (index, example) in examples.enumerated() {
        step(&optimizer, example, rate: schedule.rate(at: number * examples.count + index))
      }
      try mixer.solveOutput(for: examples, ridge: calibration.ridge)
      let residual = mixer.residual(on: heldBack)
      if residual < self.residual {
        (self.residual, pass) = (residual, number + 1)
        keep()
      }
    }
    for (parameter, value) in zip(mixer.parameters, best) { parameter.assign(value) }
  }

  private func step(_ optimizer: inout AdamW, _ example: MixerExample, rate: Double) {
    for parameter in mixer.parameters { parameter.isTrainable = true }
    defer { for parameter in mixer.parameters { parameter.isTrainable = false } }
    let loss = mixer.distance(
      of: mixer(example.input, example.layout), from: example,
      weight: 1 / Float(example.layout.segments.count))
    let gradients = gradients(of: loss.total)
    optimizer.update(
      mixer.parameters, with: gradients, learningRate: Float(rate),
      gradientScale: 1 / max(1, gradients.norm()))
  }

  private mutating func keep() { best = mixer.parameters.map { $0.copy().value } }
}
