import Foundation

/// What can go wrong between this program and an NVIDIA card.
public enum CUDAError: Error, Equatable, LocalizedError, CustomStringConvertible {
  /// None of the names of a library could be opened.
  case libraryMissing(name: String, tried: [String], hint: String)
  /// A library was opened but lacks a function, as an old driver does.
  case functionMissing(library: String, function: String)
  /// The driver is of an older CUDA than what is to run on it.
  case driverTooOld(path: String, found: String, needed: String, by: String)
  /// There is no card of this number.
  case noSuchDevice(ordinal: Int, count: Int)
  /// The card is older than what the kernels need.
  case unsupportedDevice(name: String, architecture: Int, needed: Int)
  /// A call of a library failed.
  case callFailed(call: String, code: Int, meaning: String)
  /// A call failed after which the card does nothing more for this program: a kernel went astray,
  /// memory is damaged, or the card is gone.
  case deviceLost(device: String, call: String, code: Int, meaning: String)
  /// The card has no room for what was asked.
  case outOfMemory(wanted: Int, inUse: Int, total: Int)
  /// A kernel did not compile; the log is the compiler's.
  case compilationFailed(source: String, log: String)

  public var description: String {
    switch self {
    case .libraryMissing(let name, let tried, let hint):
      "\(name) was not found; tried \(tried.joined(separator: ", ")). \(hint)"
    case .functionMissing(let library, let function):
      "\(library) has no function \(function): it is older than CUDA 12. Install a newer driver or "
        + "toolkit."
    case .driverTooOld(let path, let found, let needed, let by):
      "\(path) is the driver of CUDA \(found), and \(by) needs \(needed) or newer. Install a newer "
        + "NVIDIA driver."
    case .noSuchDevice(let ordinal, let count):
      "cuda:\(ordinal): this machine has \(count) NVIDIA card\(count == 1 ? "" : "s"), numbered "
        + "from 0."
    case .unsupportedDevice(let name, let architecture, let needed):
      "\(name) has compute capability \(architecture / 10).\(architecture % 10); "
        + "\(needed / 10).\(needed % 10) is needed."
    case .callFailed(let call, let code, let meaning):
      "\(call) failed with \(code): \(meaning)"
    case .deviceLost(let device, let call, let code, let meaning):
      "\(device) stopped working: \(call) failed with \(code): \(meaning). What it had computed is "
        + "lost. Start again; if it comes back, the system's log has the card's own message (Xid)."
    case .outOfMemory(let wanted, let inUse, let total):
      "The card is out of memory: \(megabytes(wanted)) more are needed, and \(megabytes(total - inUse)) "
        + "of \(megabytes(total)) are free. Use shorter or fewer sequences at once, recompute "
        + "activations, quantise frozen weights, or end other programs on the card."
    case .compilationFailed(let source, let log):
      "The kernel source \(source) did not compile:\n\(log)"
    }
  }

  public var errorDescription: String? { description }
}

private func megabytes(_ count: Int) -> String { "\(count >> 20) MiB" }
