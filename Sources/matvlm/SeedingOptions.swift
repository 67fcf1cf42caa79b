import ArgumentParser
import Foundation
import MaTVLMCore

/// How the mixers of replaced layers start.
enum Seeding: String, CaseIterable, ExpressibleByArgument {
  case paper, identity, calibrated

  /// As a plan explains it.
  var mixerStart: MixerStart {
    switch self {
    case .paper: .seeded(.paper)
    case .identity: .seeded(.identity)
    case .calibrated: .calibrated
    }
  }
}

/// How mixers start, and what they are fitted to if they are.
struct SeedingOptions: ParsableArguments {
  @Option(help: "How mixers start: paper, identity, calibrated.")
  var seeding: Seeding?

  @Option(
    parsing: .unconditional,
    help: """
      Samples of the training data that calibrated mixers are fitted to, 1024 by default; fewer where \
      these have more than 400000 rows.
      """)
  var calibrationSamples: Int?

  @Option(
    parsing: .unconditional,
    help: """
      Times that calibrated mixers go through these; 16 by default, 0 to solve for out_proj only.
      """)
  var calibrationPasses: Int?

  func validate() throws {
    if seeding != .calibrated, calibrationSamples != nil || calibrationPasses != nil {
      throw ValidationError("--calibration-… options need --seeding calibrated.")
    }
    if let problem = calibration.problem { throw ValidationError("\(problem).") }
  }

  /// What the options say, on top of what the library says.
  var calibration: Calibration {
    var calibration = Calibration()
    calibration.samples = calibrationSamples ?? calibration.samples
    calibration.mixers.passes = calibrationPasses ?? calibration.mixers.passes
    return calibration
  }

  /// A student of `teacher`, seeded as `seeding` says.
  /// - Parameter data: asked for the training data if that is needed.
  func student(
    of teacher: VisionLanguageModel, replacing layers: [Int], _ seeding: Seeding, seed: UInt64,
    _ calibration: Calibration, data: () throws -> any TrainingData
  ) throws -> VisionLanguageModel {
    switch seeding {
    case .paper: return try teacher.student(replacing: layers, .paper, seed: seed)
    case .identity: return try teacher.student(replacing: layers, .identity, seed: seed)
    case .calibrated:
      let data = try data()
      let count = min(calibration.samples, data.count)
      StandardError.print("calibrating \(layers.count) layers on \(count) samples")
      return try teacher.student(
        replacing: layers, calibratedOn: data, calibration, seed: seed, report: Self.show)
    }
  }

  private static func show(_ event: CalibrationEvent) {
    switch event {
    case .skipped(let error): StandardError.print("skipped: \(error)")
    case .layer(let layer, let residuals):
      let numbers = [residuals.seeded, residuals.solved, residuals.calibrated]
        .map { String(format: "%.3f", $0) }
      StandardError.print(
        "layer \(layer): residual \(numbers[0]) with the paper's seeding, \(numbers[1]) with out_proj "
          + "solved for, \(numbers[2]) after pass \(residuals.pass)")
    }
  }
}
