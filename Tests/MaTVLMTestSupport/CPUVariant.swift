import CMaTVLMKernels
import MaTVLMTensor

/// The CPU backend with the kernels of one instruction set that this processor has; those that multiply
/// bfloat16 also with rows rounded for weights in it.
package struct CPUVariant: Sendable, CustomStringConvertible {
  package let description: String
  package let device: Device

  package static let all = [
    ("generic", MATVLM_GENERIC, false), ("AVX2", MATVLM_AVX2, false),
    ("AVX-512", MATVLM_AVX512, false), ("AVX-512 with bfloat16", MATVLM_AVX512_BF16, false),
    ("AVX-512 with bfloat16, rounding rows", MATVLM_AVX512_BF16, true),
    ("AMX", MATVLM_AVX512_AMX, false), ("AMX, rounding rows", MATVLM_AVX512_AMX, true),
  ].compactMap { name, set, rounds in
    CPUBackend(set).map {
      $0.roundsRows = rounds
      return CPUVariant(description: name, device: Device($0))
    }
  }

  package var roundsRows: Bool { (device.backend as! CPUBackend).roundsRows }

  /// A backend of its own, with `threads` threads.
  package static func best(threads: Int) -> Device {
    let backend = CPUBackend(matvlm_best_instruction_set())!
    backend.threads = threads
    return Device(backend)
  }
}
