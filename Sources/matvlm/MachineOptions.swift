import ArgumentParser
import Foundation
import MaTVLMCore

/// What belongs to the machine and not to the run.
struct MachineOptions: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: "Threads that compute; as many as there are processors when not given.")
  var threads: Int?

  func validate() throws {
    if let threads, !(1...1024).contains(threads) {
      throw ValidationError("--threads must be between 1 and 1024, not \(threads).")
    }
  }

  func apply() {
    StandardError.noteDebugBuild()
    if let threads { Device.setProcessorThreads(threads) }
  }
}
