import MaTVLMCUDA
import MaTVLMTensor
import MaTVLMTestSupport

/// Takes memory until there is none left: the error has to say so, and the card be of use afterwards.
func checkFaults(_ context: CheckContext) throws -> Bool {
  let failure = try failureOfFilledCard(context)
  guard case CUDAError.outOfMemory(let wanted, let inUse, let total)? = failure else {
    print("FAILED a full card said \(failure.map { "\($0)" } ?? "nothing")")
    context.table.add("faults", "out of memory", "no such error", "", .failed)
    return false
  }
  let isPlausible = wanted == block && inUse > total / 2 && total - inUse < wanted
  report("out of memory", "\(CUDAError.outOfMemory(wanted: wanted, inUse: inUse, total: total))")
  context.table.add(
    "faults", "out of memory", "\(wanted >> 20) MiB refused, \((total - inUse) >> 20) free", "",
    isPlausible ? .passed : .failed)

  let device = try context.device(.float32)
  let cases = Array(OperationCase.all(on: device).prefix(100))
  let failures = conformanceFailures(of: device, toleranceScale: 3, cases: cases)
  try device.check()
  for failure in failures { print("FAILED after the card was full: \(failure)") }
  context.table.add(
    "faults", "the card afterwards", "\(cases.count) cases", "\(failures.count) results differ",
    failures.isEmpty ? .passed : .failed)
  return isPlausible && failures.isEmpty
}

private let block = 1 << 30

/// What a device says that was asked for more than the card has; what it held is given back.
private func failureOfFilledCard(_ context: CheckContext) throws -> (any Error)? {
  let device = try context.device(.bfloat16)
  var held: [Tensor] = []
  while device.backend.failure == nil, held.count < 1024 {
    held.append(Tensor(uninitialized: [block / 4], .float32, on: device.backend))
  }
  return device.backend.failure
}
