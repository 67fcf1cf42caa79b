import MaTVLMCUDA
import MaTVLMCore
import MaTVLMTensor

/// Memory of decoding at a long context: the 25 % student's beside its teacher's.
func measureMemory(_ context: CheckContext) throws -> Bool {
  let length = 16384
  func decode(_ mambaLayers: [Int]) throws -> InferenceBenchmark.Decoding {
    let device = try context.device(.bfloat16)
    let benchmark = InferenceBenchmark(
      try .random(ModelSizes(), mambaLayers: mambaLayers, matrices: .bfloat16, on: device))
    let result = benchmark.decode(context: length, tokens: 8, bandwidth: 1)
    try device.check()
    return result
  }
  let sizes = ModelSizes()
  let teacher = try decode([])
  let student = try decode(LayerPlacement.even.layers(ratio: 0.25, of: sizes.layers))
  // A Mamba-2 layer keeps some hundred kilobytes in place of keys and values.
  let predicted = 0.25 * Double(teacher.stateBytes)
  let saved = Double(teacher.stateBytes - student.stateBytes)
  let isAsPredicted = abs(saved - predicted) < 0.02 * predicted
  for (name, large, small) in [
    ("state", teacher.stateBytes, student.stateBytes),
    ("all of decoding", teacher.deviceBytes ?? 0, student.deviceBytes ?? 0),
  ] {
    let part = fixed(100 * (1 - Double(small) / Double(large)), 1)
    report(
      "memory, \(name), context \(length)", "teacher \(large >> 20) MiB",
      "student \(small >> 20) MiB", "\(part) % less")
    context.table.add(
      "memory", "\(name), 25 % student, context \(length)", "\(small >> 20) MiB, \(part) % less",
      "teacher \(large >> 20) MiB", isAsPredicted ? .passed : .failed)
  }
  return isAsPredicted
}
