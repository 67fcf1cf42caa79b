import MaTVLMTensor

/// The descent of a calibration: a mixer that changes, and the best that it was.
struct MixerFit {
  /// Solving for the output projection costs a third of a pass, and gains little where rates are low.
  private static let passesBetweenSolutions = 4

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
    guard calibration.passes > 0 else { return }
    let coordinates = try InputCoordinates(of: examples)
    coordinates.enter(mixer.inputProjection)
    // Made each time that they are used: kept, they would take as much memory as the rows.
    try descend(
      on: examples.lazy.map { coordinates($0) }, heldBack: heldBack.lazy.map { coordinates($0) },
      calibration)
    for (parameter, value) in zip(mixer.parameters, best) { parameter.assign(value) }
    guard pass > 0 else { return }
    coordinates.leave(mixer.inputProjection)
    residual = mixer.residual(on: heldBack)
  }

  private mutating func descend(
    on examples: some Collection<MixerExample>, heldBack: some Collection<MixerExample>,
    _ calibration: MixerCalibration
  ) throws {
    let steps = calibration.passes * examples.count
    let schedule = LearningRateSchedule(
      peak: calibration.learningRate * 128 / Double(mixer.configuration.modelWidth),
      warmup: steps / 20, decay: steps - steps / 20, total: steps)
    var optimizer = AdamW()
    var number = 0
    for pass in 1...calibration.passes {
      for example in examples {
        step(&optimizer, example, rate: schedule.rate(at: number))
        number += 1
      }
      guard pass % Self.passesBetweenSolutions == 0 || pass == calibration.passes else { continue }
      try mixer.solveOutput(for: examples, ridge: calibration.ridge)
      let residual = mixer.residual(on: heldBack)
      if residual < self.residual {
        (self.residual, self.pass) = (residual, pass)
        keep()
      }
    }
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
