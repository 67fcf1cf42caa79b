import MaTVLMDistillation
import MaTVLMTensor

extension Trainer {
  /// What is not finite, and in which samples: each is computed once more by itself, by the rank that
  /// had it.
  ///
  /// - Parameters:
  ///   - indices: the samples of the update that this rank had.
  ///   - gradients: what those of all ranks add up to.
  /// - Throws: what a device throws that failed meanwhile: then nothing can be said.
  func notFinite(_ indices: [Int], _ gradients: Gradients) throws -> TrainingError {
    let found = try ranks.gather { findNotFinite(indices) }
    let broken = task.trained.first { !$0.value.array().allSatisfy(\.isFinite) }
    let tensor = broken.map(\.name) ?? found.lazy.compactMap(\.tensor).first
    let samples = found.flatMap(\.samples)
    try student.device.check()
    return .notFinite(
      step: position.step + 1, samples: samples.isEmpty ? found.flatMap(\.all) : samples,
      tensor: tensor ?? nameOfFirstNotFinite(gradients) ?? "the sum of the gradients")
  }

  /// What a rank finds in its samples.
  private struct NotFinite: Codable {
    var all: [String] = []
    /// Those that alone have this effect, and on what.
    var samples: [String] = []
    var tensor: String?
  }

  private func findNotFinite(_ indices: [Int]) -> NotFinite {
    var found = NotFinite()
    let examples = indices.compactMap { try? TrainingExample(data.sample($0), for: student) }
    for example in examples {
      let (alone, losses) = task.lossGradients(batch([example]), sequences: 1)
      guard !losses.isFinite || !alone.norm().isFinite else { continue }
      found.samples.append(example.id)
      found.tensor = found.tensor ?? nameOfFirstNotFinite(alone) ?? losses.nameOfFirstNotFinite
    }
    found.all = examples.map(\.id)
    return found
  }

  private func nameOfFirstNotFinite(_ gradients: Gradients) -> String? {
    task.trained.first { parameter in
      gradients[parameter].map { !$0.array().allSatisfy(\.isFinite) } ?? false
    }.map { "the gradient of \($0.name)" }
  }
}

extension LossSums {
  var isFinite: Bool { nameOfFirstNotFinite == nil }

  fileprivate var nameOfFirstNotFinite: String? {
    [("layer", layer), ("divergence", logits), ("label", labels)]
      .first { !$0.1.isFinite }.map { "the \($0.0) loss" }
  }
}

/// Trained parameters that no gradient has reached yet: at the first update that could reach them,
/// that is an error, and afterwards there is nothing left to look at.
struct UnreachedParameters: Sendable {
  private var parameters: [Parameter]

  init(_ parameters: [Parameter]) { self.parameters = parameters }

  /// - Parameters:
  ///   - exempt: names of parameters that this update cannot reach.
  /// - Throws: ``TrainingError/withoutGradient(step:tensors:)``.
  mutating func check(_ gradients: Gradients, step: Int, exempt: Set<String>) throws {
    guard !parameters.isEmpty else { return }
    let missing = parameters.filter { gradients[$0] == nil }
    let faults = missing.map(\.name).filter { !exempt.contains($0) }
    guard faults.isEmpty else { throw TrainingError.withoutGradient(step: step, tensors: faults) }
    parameters = missing
  }
}
