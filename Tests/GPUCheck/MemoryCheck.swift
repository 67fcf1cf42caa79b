import MaTVLMCUDA
import MaTVLMCore
import MaTVLMTensor

/// Memory of decoding at a long context: the 25 % student's beside its teacher's, and the student's
/// with weights in 8 bits.
func measureMemory(_ context: CheckContext) throws -> Bool {
  let length = 16384
  func decode(_ mambaLayers: [Int], _ matrices: DType = .bfloat16) throws -> BenchmarkResult {
    let device = try context.device(.bfloat16)
    // What a student replaces in its teacher is given back before anything is measured.
    var model = try VisionLanguageModel.random(ModelSizes(), matrices: matrices, on: device)
    if !mambaLayers.isEmpty { model = try model.withRandomMixers(at: mambaLayers) }
    let result = InferenceBenchmark(model).decode(
      context: length, tokens: 8)
    try device.check()
    return result
  }
  let sizes = ModelSizes()
  let teacher = try decode([])
  let mambaLayers = LayerPlacement.even.layers(ratio: 0.25, of: sizes.layers)
  let student = try decode(mambaLayers)
  let rounded = try decode(mambaLayers, .quantized(Quantization(.int8)))
  // A Mamba-2 layer keeps some hundred kilobytes in place of keys and values.
  let predicted = 0.25 * Double(teacher.stateBytes)
  let saved = Double(teacher.stateBytes - student.stateBytes)
  let isAsPredicted = abs(saved - predicted) < 0.02 * predicted
  for (name, large, small) in [
    ("state", teacher.stateBytes, student.stateBytes),
    ("all of decoding", teacher.speed?.deviceBytes ?? 0, student.speed?.deviceBytes ?? 0),
  ] {
    let part = fixed(100 * (1 - Double(small) / Double(large)), 1)
    report(
      "memory, \(name), context \(length)", "teacher \(large >> 20) MiB",
      "student \(small >> 20) MiB", "\(part) % less")
    context.table.add(
      "memory", "\(name), 25 % student, context \(length)", "\(small >> 20) MiB, \(part) % less",
      "teacher \(large >> 20) MiB", isAsPredicted ? .passed : .failed)
  }
  let bytes = rounded.speed?.deviceBytes ?? 0
  context.table.add(
    "memory", "all of decoding, 25 % student, int8, context \(length)", "\(bytes >> 20) MiB", "",
    .measured)
  return isAsPredicted
}
