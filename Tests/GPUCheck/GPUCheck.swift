import Foundation
import MaTVLMCUDA
import MaTVLMTensor

/// Checks and measures this package on an NVIDIA card: `matvlm-gpu-check [PART…] [--cuda-path DIR] [--verbose]`.
///
/// Exit codes: 0 everything conforms, 1 something does not or the card failed, 64 an unknown part,
/// 77 there is no card or no CUDA to check.
@main
struct GPUCheck {
  static let parts: [(name: String, run: @Sendable (CheckContext) throws -> Bool)] = [
    ("conformance", checkConformance),
    ("repeatability", checkRepeatability),
    ("golden", checkGolden),
    ("faults", checkFaults),
    ("operations", measureOperations),
    ("decode", measureDecoding),
    ("memory", measureMemory),
    ("prompt", measurePrompts),
    ("quantized", measureQuantized),
    ("distil", measureDistillation),
    ("profile", profileWork),
  ]

  static func main() {
    var wanted: [String] = []
    var context = CheckContext()
    var arguments = CommandLine.arguments.dropFirst()
    while let argument = arguments.popFirst() {
      switch argument {
      case "--cuda-path": context.cudaPath = arguments.popFirst()
      case "--verbose": context.isVerbose = true
      default: wanted.append(argument)
      }
    }
    let unknown = wanted.filter { name in !parts.contains { $0.name == name } }
    guard unknown.isEmpty else {
      print("unknown: \(unknown.joined(separator: " ")); known: \(parts.map(\.name))")
      exit(64)
    }
    do {
      _ = try context.device(.bfloat16)
    } catch {
      print("Not run, because there is nothing to run on: \(error)")
      exit(77)
    }
    var conforms = true
    for part in parts where wanted.isEmpty || wanted.contains(part.name) {
      report("== \(part.name)")
      do {
        conforms = try part.run(context) && conforms
      } catch {
        print("FAILED \(error)")
        context.table.add(part.name, "", "\(error)", "", .failed)
        conforms = false
      }
    }
    context.table.print()
    exit(conforms ? 0 : 1)
  }
}

/// What every part needs.
struct CheckContext {
  var cudaPath: String?
  /// Whether each case is named before it runs.
  var isVerbose = false
  let table = CheckTable()

  func device(_ precision: DType) throws -> Device {
    try .cuda(0, precision: precision, cudaPath: cudaPath)
  }
}

/// The median time of `body`, which queues work on `device`, in seconds.
func medianSeconds(
  on device: Device, repeats: Int = 5, inner: Int = 1, _ body: () throws -> Void
) throws -> Double {
  let clock = ContinuousClock()
  let wait = { (device.backend as? CUDABackend)?.synchronize() }
  var times: [Double] = []
  for _ in 0...repeats {
    wait()
    let start = clock.now
    for _ in 0..<inner { try body() }
    wait()
    times.append((clock.now - start) / .seconds(1) / Double(inner))
  }
  try device.check()
  return times.dropFirst().sorted()[repeats / 2]
}

/// A line of a table: what was done, and figures.
func report(_ name: String, _ figures: String...) {
  let padding = String(repeating: " ", count: max(1, 58 - name.count))
  print(name + padding + figures.joined(separator: "  "))
  fflush(nil)  // a run that is stopped leaves what it had
}

/// `value` with so many places.
func fixed(_ value: Double, _ places: Int = 2) -> String {
  String(format: "%.\(places)f", value)
}
