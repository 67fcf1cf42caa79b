import MaTVLMTensor
import MaTVLMTestSupport

/// Every operation against the naive reference, with float32 and with bfloat16 activations.
func checkConformance(_ context: CheckContext) throws -> Bool {
  var conforms = true
  for precision in [DType.float32, .bfloat16] {
    let device = try context.device(precision)
    // Products of the tensor cores are as exact as float32's, but add up in another order.
    var failures: [String] = []
    let cases = OperationCase.all(on: device)
    for operation in cases {
      if context.isVerbose { report("\(precision) \(operation)") }
      failures += conformanceFailures(of: device, toleranceScale: 3, cases: [operation])
      if let failure = device.backend.failure {
        failures.append("\(operation): the device failed: \(failure)")
        break
      }
    }
    for failure in failures { print("FAILED \(precision) \(failure)") }
    report(
      "\(cases.count) cases in \(precision)",
      failures.isEmpty ? "all conform" : "\(failures.count) results differ")
    context.table.add(
      "conformance", "\(precision)", "\(cases.count) cases", "\(failures.count) results differ",
      failures.isEmpty ? .passed : .failed)
    conforms = conforms && failures.isEmpty
  }
  return conforms
}

/// The same bits, run after run.
func checkRepeatability(_ context: CheckContext) throws -> Bool {
  let device = try context.device(.bfloat16)
  let cases = OperationCase.all(on: device)
  let different = cases.filter { operation in
    let first = operation.resultBits(on: device)
    return (0..<2).contains { _ in operation.resultBits(on: device) != first }
  }
  try device.check()
  for operation in different { print("FAILED \(operation): other bits in another run") }
  report("\(cases.count) cases three times", "\(different.count) with other bits")
  context.table.add(
    "repeatability", "three runs", "\(cases.count) cases", "\(different.count) with other bits",
    different.isEmpty ? .passed : .failed)
  return different.isEmpty
}
