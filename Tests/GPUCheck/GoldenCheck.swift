import MaTVLMTensor
import MaTVLMTestSupport

/// The golden models against what PyTorch computed with them: rows, logits, answers, losses, gradients
/// and training runs, with float32 and with bfloat16 activations.
func checkGolden(_ context: CheckContext) throws -> Bool {
  var conforms = true
  for (precision, bounds) in [(DType.float32, GoldenBounds.float32), (.bfloat16, .bfloat16)] {
    let device = try context.device(precision)
    for (name, compare) in goldenSteps {
      var comparison = try GoldenComparison(device, bounds)
      try compare(&comparison)
      try device.check()
      for failure in comparison.failures { print("FAILED \(precision) \(failure)") }
      let isRight = comparison.failures.isEmpty && comparison.count > 0
      report(
        "\(precision), \(name)", "\(comparison.count) comparisons",
        "largest error \(fixed(100 * comparison.worst, 1)) % of its bound")
      context.table.add(
        "golden", "\(precision), \(name)", "\(comparison.count) comparisons",
        "\(fixed(100 * comparison.worst, 0)) % of the bound", isRight ? .passed : .failed)
      conforms = conforms && isRight
    }
  }
  return conforms
}

private let goldenSteps: [(String, @Sendable (inout GoldenComparison) throws -> Void)] = [
  ("vision", { for picture in ["a.png", "c.jpg"] { try $0.compareImageRows(picture) } }),
  ("hidden states", { for sample in 0..<4 { try $0.compareHiddenStates(sample) } }),
  (
    "logits",
    {
      for folder in ["teacher"] + GoldenModels.students { try $0.compareLogits(folder) }
      try $0.comparePackedLogits()
    }
  ),
  (
    "answers",
    {
      for folder in ["teacher"] + GoldenModels.students { try $0.compareAnswers(folder) }
      for folder in ["teacher", "student"] { try $0.compareAnswersTogether(folder) }
    }
  ),
  (
    "quantised",
    { for code in Quantization.Code.allCases { try $0.compareQuantized(Quantization(code)) } }
  ),
  (
    "losses",
    {
      for temperature in [Float(1), 2] { try $0.compareLosses(temperature: temperature) }
      try $0.compareTeacherLosses()
    }
  ),
  (
    "gradients",
    { for recompute in [false, true] { try $0.compareGradients(recompute: recompute) } }
  ),
  (
    "training",
    {
      for batchSize in [1, 2] { try $0.compareTraining(batchSize: batchSize) }
      try $0.compareTrainingWithAllTerms()
    }
  ),
]
