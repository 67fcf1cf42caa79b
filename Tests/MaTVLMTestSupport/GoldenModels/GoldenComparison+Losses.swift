import MaTVLMCore
import MaTVLMTensor

extension DistillationObjective {
  fileprivate init(
    _ divergence: Divergence = .forward, temperature: Float = 1, logits: Float = 1,
    layer: Float = 1, labels: Float = 0
  ) {
    self.init()
    (self.divergence, self.temperature) = (divergence, temperature)
    (logitWeight, layerWeight, labelWeight) = (logits, layer, labels)
  }
}

extension GoldenComparison {
  private static let divergences: [(Divergence, @Sendable (GoldenCases.Losses) -> Double)] = [
    (.forward, { $0.kl }), (.reverse, { $0.reverse }), (.jensenShannon, { $0.jensenShannon }),
  ]

  /// Every loss of every sample, and of all samples packed.
  /// - Parameter temperature: 1 or 2.
  package mutating func compareLosses(temperature: Float) throws {
    let (teacher, student) = (try load("teacher"), try load("student"))
    for (divergence, value) in Self.divergences {
      let task = DistillationTask(
        teacher: teacher, student: student,
        DistillationObjective(divergence, temperature: temperature), recompute: false)
      var whole = LossSums()
      for (index, sample) in cases.samples.enumerated() {
        let losses = temperature == 1 ? cases.losses[index].cold : cases.losses[index].hot
        let sums = task.losses(try GoldenModels.batch([sample], for: student))
        for (name, found, expected) in [
          ("\(divergence)", sums.logits, value(losses)), ("layer", sums.layer, losses.layer),
          ("ce", sums.labels, losses.ce),
        ] {
          compare("\(name) of sample \(index)", found, expected, bounds.losses)
        }
        whole += sums
      }
      let packed = task.losses(try GoldenModels.batch(cases.samples, for: student))
      compare("\(divergence), packed", packed.logits, whole.logits, bounds.losses)
      compare("layer, packed", packed.layer, whole.layer, bounds.losses)
      compare("ce, packed", packed.labels, whole.labels, bounds.losses)
    }
  }

  /// The teacher's own cross-entropy, and that it does not differ from itself.
  package mutating func compareTeacherLosses() throws {
    let teacher = try load("teacher")
    let task = DistillationTask(
      teacher: teacher, student: teacher, DistillationObjective(), recompute: false)
    for (index, sample) in cases.samples.enumerated() {
      let sums = task.losses(try GoldenModels.batch([sample], for: teacher))
      let expected = cases.losses[index].cold.teacherCe
      compare("the teacher's ce of sample \(index)", sums.labels, expected, bounds.losses)
      expect(
        abs(sums.logits) < bounds.losses && sums.layer == 0, "the teacher against itself",
        "\(sums.logits), \(sums.layer)")
    }
  }

  /// A term's name in the golden file, and the objective that has this term only.
  private static let terms: [(String, DistillationObjective)] = [
    ("kl", DistillationObjective(temperature: 2, layer: 0)),
    ("reverse", DistillationObjective(.reverse, temperature: 2, layer: 0)),
    ("jensen_shannon", DistillationObjective(.jensenShannon, temperature: 2, layer: 0)),
    ("layer", DistillationObjective(temperature: 2, logits: 0)),
    ("ce", DistillationObjective(temperature: 2, logits: 0, layer: 0, labels: 1)),
  ]

  /// Every gradient of every term.
  package mutating func compareGradients(recompute: Bool) throws {
    let golden = try Golden.tensors("forward.safetensors")
    let (teacher, student) = (try load("teacher"), try load("student"))
    let batch = try GoldenModels.batch([cases.samples[1]], for: student)
    var compared: Set<String> = []
    for (term, objective) in Self.terms {
      let task = DistillationTask(
        teacher: teacher, student: student, objective, recompute: recompute)
      let (gradients, _) = task.lossGradients(batch, sequences: 1)
      for parameter in task.trained {
        let name = "gradient.\(term).\(parameter.name)"
        guard golden.names.contains(name), let gradient = gradients[parameter] else {
          // The connector learns nothing from the layers' distances.
          expect(
            !golden.names.contains(name) && term == "layer" && gradients[parameter] == nil, name,
            "there is a gradient on one side only")
          continue
        }
        compare(name, gradient, try golden.tensor(name, as: gradient.shape), bounds.gradients)
        compared.insert(name)
      }
    }
    let all = Set(golden.names.filter { $0.hasPrefix("gradient.") })
    expect(compared == all, "gradients", "not compared: \(all.subtracting(compared).sorted())")
  }
}
