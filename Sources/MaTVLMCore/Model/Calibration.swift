import MaTVLMMamba

/// How a student's mixers are fitted before training: on which samples, and how.
public struct Calibration: Sendable, Hashable {
  /// Samples of the training data; all of them when there are fewer. An eighth is held back to
  /// compare candidates on.
  public var samples = 1024
  /// No more samples are taken once they have so many rows. All go through the model together, and each
  /// row takes some 12 · D bytes: at a width of 2560, 12 GB.
  public var rows = 400_000
  public var mixers = MixerCalibration()
  /// Rows of a sequence at most, image tokens counted in; nil: as many as the model takes.
  public var maximumLength: Int?
  public var brokenSamples = BrokenSamplePolicy.stop

  public init() {}

  /// What is out of range, in words; nil when everything is usable.
  public var problem: String? {
    if !(2...1_000_000).contains(samples) {
      return "the calibration samples must be between 2 and 1000000, not \(samples)"
    }
    if rows < 1 { return "the calibration rows must be 1 or more, not \(rows)" }
    if !(0...10_000).contains(mixers.passes) {
      return "the calibration passes must be between 0 and 10000, not \(mixers.passes)"
    }
    if !(mixers.ridge >= 0 && mixers.ridge.isFinite) {
      return "the ridge must be 0 or more, not \(mixers.ridge)"
    }
    if !(mixers.learningRate > 0 && mixers.learningRate <= 10) {
      return "the learning rate must be above 0 and at most 10, not \(mixers.learningRate)"
    }
    return nil
  }
}

/// What a calibration reports as it goes on.
public enum CalibrationEvent: Sendable {
  /// A sample that could not be used; another took its place.
  case skipped(SampleError)
  /// A layer whose mixer is calibrated.
  case layer(Int, MixerCalibration.Residuals)
}

/// A student cannot be calibrated.
public enum CalibrationError: Error, Sendable, Hashable, CustomStringConvertible {
  case tooFewSamples(usable: Int)
  case unsolvable(layer: Int, reason: String)

  public var description: String {
    switch self {
    case .tooFewSamples(let usable):
      "calibration needs 2 usable samples, and the data has \(usable); name other data, or another "
        + "seeding"
    case .unsolvable(let layer, let reason):
      "calibration of layer \(layer): \(reason); with passes, fewer of them may help"
    }
  }
}
