import Foundation
import MaTVLMCore

/// Where the mixers of a student came from before it was trained, as far as `run.yaml` beside it says.
struct MixerOrigin: Encodable {
  /// How those that replaced attention in that run were seeded; nil: it seeded none.
  let seeding: String?
  let calibrationSamples: Int?
  let calibrationPasses: Int?
  /// The student that the run went on from; nil: none.
  let student: String?

  /// nil: the folder has no file of a distillation.
  init?(of model: URL) {
    let file = model.appendingPathComponent(EffectiveSettings.fileName).path
    var run = RunFile(.distill)
    guard FileManager.default.fileExists(atPath: file), (try? run.read(file)) != nil else {
      return nil
    }
    (seeding, student) = (run.values["seeding"], run.values["student"])
    calibrationSamples = run.values["calibration-samples"].flatMap { Int($0) }
    calibrationPasses = run.values["calibration-passes"].flatMap { Int($0) }
    guard seeding != nil || student != nil else { return nil }
  }

  var description: String {
    let fitted = [
      calibrationSamples.map { "\($0) samples" }, calibrationPasses.map { "\($0) passes" },
    ].compactMap(\.self)
    let seeded = seeding.map { ([$0] + fitted).joined(separator: ", ") }
    guard let student else { return seeded ?? "" }
    return "those of \(student)" + (seeded.map { "; the others \($0)" } ?? "")
  }
}
