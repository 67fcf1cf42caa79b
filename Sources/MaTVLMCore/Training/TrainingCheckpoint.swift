import Foundation
import MaTVLMTensor

/// A folder from which a run goes on as if it had never stopped. It holds what trains and how far
/// the run is; what is frozen is the teacher's, on disk already.
///
///     parameters.safetensors   what trains, float32, by its name in the model
///     moments.safetensors      AdamW's, as first.NAME and second.NAME
///     state.json               the position, and how much of each log belongs to it
///     manifest.json            sizes and checksums of these
struct TrainingCheckpoint: Codable {
  var format = Self.currentFormat
  let position: TrainingPosition
  /// The name of the stage that the next update belongs to; nil in a run without stages.
  let stage: String?
  /// Updates that went into each parameter's moments.
  let momentSteps: [String: Int]
  /// Bytes of each log file up to the position.
  let logs: [String: Int]

  static let currentFormat = 1
  private static let parametersName = "parameters.safetensors"
  private static let momentsName = "moments.safetensors"
  private static let stateName = "state.json"

  /// Writes the state of `trainer` into an existing folder.
  /// - Throws: ``CheckpointError``, and what a device throws.
  static func write(_ trainer: Trainer, logs: [String: Int], into folder: URL) throws {
    try trainer.student.device.check()
    let moments = trainer.optimizer.moments
    try SafetensorsWriter.write(
      trainer.parameters(changedBefore: trainer.position.step)
        .map { CheckpointTensor($0, as: .float32) },
      to: folder.appending(path: parametersName))
    try SafetensorsWriter.write(
      moments.sorted { $0.key < $1.key }.flatMap { name, moments in
        [
          CheckpointTensor("first.\(name)", moments.first),
          CheckpointTensor("second.\(name)", moments.second),
        ]
      }, to: folder.appending(path: momentsName))
    let state = TrainingCheckpoint(
      position: trainer.position, stage: trainer.stage.declared?.name,
      momentSteps: moments.mapValues(\.step), logs: logs)
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    try AtomicFile.write(try encoder.encode(state), to: folder.appending(path: stateName))
    // A device that failed meanwhile gave no numbers.
    try trainer.student.device.check()
    try FolderManifest.write(in: folder)
  }

  /// Reads and checks a whole checkpoint for `trainer`, which stays as it is.
  /// - Throws: ``CheckpointError`` naming what is missing, damaged, or another model's.
  static func read(_ folder: URL, for trainer: Trainer) throws -> Restored {
    try FolderManifest.verify(folder)
    let url = folder.appending(path: stateName)
    let json = try MappedFile(url)
    guard let state = try? JSONDecoder().decode(Self.self, from: Data(json.bytes)),
      state.format == currentFormat, state.isPossible(for: trainer)
    else {
      throw CheckpointError.malformed(
        path: url.path, tensor: nil,
        problem: "it is no state of format \(currentFormat) that this run can have")
    }
    let parameters = try SafetensorsFile(folder.appending(path: parametersName))
    let moments = try SafetensorsFile(folder.appending(path: momentsName))
    var restored = Restored(state: state)
    for parameter in trainer.parameters(changedBefore: state.position.step) {
      let (name, shape) = (parameter.name, parameter.shape)
      let device = parameter.value.device
      restored.values.append((parameter, try parameters.values(name, shape, on: device)))
      guard let step = state.momentSteps[name] else { continue }
      restored.moments[name] = AdamW.Moments(
        first: try moments.values("first.\(name)", shape, on: device),
        second: try moments.values("second.\(name)", shape, on: device), step: step)
    }
    return restored
  }

  /// Whether the numbers are in range, whoever wrote the file.
  private func isPossible(for trainer: Trainer) -> Bool {
    (0...trainer.steps).contains(position.step)
      && stage == trainer.stage(of: position.step).declared?.name
      && (0...Int.max >> 1).contains(position.samples.visits) && position.samples.broken >= 0
      && momentSteps.values.allSatisfy { (1...max(1, position.step)).contains($0) }
      && logs.values.allSatisfy { $0 >= 0 }
  }

  /// What was read: on the device, and not yet in use.
  struct Restored {
    let state: TrainingCheckpoint
    var values: [(Parameter, Tensor)] = []
    var moments: [String: AdamW.Moments] = [:]
  }
}
