import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Losses and their gradients against PyTorch")
struct LossGoldenTests {
  private let cases: GoldenCases

  init() throws { cases = try .read() }

  private static func objective(
    _ divergence: Divergence = .forward, temperature: Float = 1, logits: Float = 1,
    layer: Float = 1, labels: Float = 0
  ) -> DistillationObjective {
    var objective = DistillationObjective()
    (objective.divergence, objective.temperature) = (divergence, temperature)
    (objective.logitWeight, objective.layerWeight) = (logits, layer)
    objective.labelWeight = labels
    return objective
  }

  private static let divergences: [(Divergence, @Sendable (GoldenCases.Losses) -> Double)] = [
    (.forward, { $0.kl }), (.reverse, { $0.reverse }), (.jensenShannon, { $0.jensenShannon }),
  ]

  @Test(
    "every loss of every sample at both temperatures", arguments: CPUVariant.all, [Float(1), 2])
  func losses(_ variant: CPUVariant, _ temperature: Float) throws {
    let teacher = try GoldenModels.load("teacher", on: variant.device)
    let student = try GoldenModels.load("student", on: variant.device)
    for (divergence, value) in Self.divergences {
      let task = DistillationTask(
        teacher: teacher, student: student, Self.objective(divergence, temperature: temperature),
        recompute: false)
      var whole = LossSums()
      for (index, sample) in cases.samples.enumerated() {
        let losses = temperature == 1 ? cases.losses[index].cold : cases.losses[index].hot
        let sums = task.losses(try GoldenModels.batch([sample], for: student))
        for (name, found, expected) in [
          ("\(divergence)", sums.logits, value(losses)), ("layer", sums.layer, losses.layer),
          ("ce", sums.labels, losses.ce),
        ] {
          let wrong = deviation(found, from: expected, relative: 1e-5)
          #expect(wrong == nil, "sample \(index), \(name)")
        }
        whole += sums
      }
      let packed = task.losses(try GoldenModels.batch(cases.samples, for: student))
      for (a, b) in [
        (packed.logits, whole.logits), (packed.layer, whole.layer), (packed.labels, whole.labels),
      ] {
        #expect(deviation(a, from: b, relative: 1e-5) == nil, "\(divergence), packed")
      }
    }
  }

  @Test("the teacher's own cross-entropy, and no divergence from itself", arguments: CPUVariant.all)
  func teacher(_ variant: CPUVariant) throws {
    let teacher = try GoldenModels.load("teacher", on: variant.device)
    let task = DistillationTask(
      teacher: teacher, student: teacher, Self.objective(), recompute: false)
    for (index, sample) in cases.samples.enumerated() {
      let sums = task.losses(try GoldenModels.batch([sample], for: teacher))
      let expected = cases.losses[index].cold.teacherCe
      #expect(deviation(sums.labels, from: expected, relative: 1e-5) == nil, "sample \(index)")
      #expect(abs(sums.logits) < 1e-5 && sums.layer == 0)
    }
  }

  /// A term's name in the golden file, and the objective that has this term only.
  private static let terms: [(String, DistillationObjective)] = [
    ("kl", objective(temperature: 2, layer: 0)),
    ("reverse", objective(.reverse, temperature: 2, layer: 0)),
    ("jensen_shannon", objective(.jensenShannon, temperature: 2, layer: 0)),
    ("layer", objective(temperature: 2, logits: 0)),
    ("ce", objective(temperature: 2, logits: 0, layer: 0, labels: 1)),
  ]

  @Test(
    "every gradient of every term", arguments: CPUVariant.all, [false, true])
  func gradients(_ variant: CPUVariant, _ recompute: Bool) throws {
    let golden = try Golden.tensors("forward.safetensors")
    let teacher = try GoldenModels.load("teacher", on: variant.device)
    let student = try GoldenModels.load("student", on: variant.device)
    let batch = try GoldenModels.batch([cases.samples[1]], for: student)
    var compared: Set<String> = []
    for (term, objective) in Self.terms {
      let task = DistillationTask(
        teacher: teacher, student: student, objective, recompute: recompute)
      let (gradients, _) = task.lossGradients(batch, sequences: 1)
      for parameter in task.trained {
        let name = "gradient.\(term).\(parameter.name)"
        guard golden.names.contains(name) else {
          // The connector learns nothing from the layers' distances.
          #expect(term == "layer" && gradients[parameter] == nil, "\(name)")
          continue
        }
        let gradient = try #require(gradients[parameter], "\(name)")
        let wrong = mismatch(
          gradient.array(), try golden.values(name), relativeL2: 1e-4)
        #expect(wrong == nil, "\(name)")
        compared.insert(name)
      }
    }
    #expect(compared == Set(golden.names.filter { $0.hasPrefix("gradient.") }))
  }
}
