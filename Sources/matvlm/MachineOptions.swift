import ArgumentParser
import Foundation
import MaTVLMCUDA
import MaTVLMCore

/// What belongs to the machine and not to the run.
struct MachineOptions: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: "Threads that compute; as many as there are processors when not given.")
  var threads: Int?

  @Option(help: "What computes: cpu, cuda, cuda:1, …")
  var device = DeviceName.cpu

  @Option(
    help: """
      bfloat16: activations on a card, and rows that a processor with products of bfloat16 multiplies \
      with such weights; float32: none.
      """)
  var precision = Precision.bfloat16

  @Option(
    help: "A folder of NVIDIA's libraries to look into first.", completion: .directory)
  var cudaPath: String?

  func validate() throws {
    if let threads, !(1...1024).contains(threads) {
      throw ValidationError("--threads must be between 1 and 1024, not \(threads).")
    }
  }

  /// Sets the threads, and opens the device.
  /// - Parameter card: how many cards behind the named one.
  /// - Throws: ``CUDAError`` when there is no card or a library is missing.
  func open(card: Int = 0) throws -> Device {
    StandardError.noteDebugBuild()
    if let threads { Device.setProcessorThreads(threads) }
    switch device {
    case .cpu:
      Device.setProcessorRounding(precision == .bfloat16)
      return .cpu
    case .cuda(let ordinal):
      return try .cuda(ordinal + card, precision: precision.type, cudaPath: cudaPath)
    }
  }

  /// Joins the processes that were started together, if this is one of several, and opens a device for
  /// it: its part of the processors, or a card of its own.
  /// - Throws: as ``open(card:)``; ``CommunicatorError`` when it cannot join.
  func openTogether() throws -> (Device, any Communicator) {
    let ranks = try Ranks.join()
    if threads == nil, ranks.localSize > 1 {
      let processors = ProcessInfo.processInfo.activeProcessorCount
      Device.setProcessorThreads(max(1, processors / ranks.localSize))
    }
    let device = try open(card: ranks.localRank)
    guard case .cuda = self.device, ranks.size > 1 else { return (device, ranks) }
    return (device, try CardCommunicator(ranks, on: device, cudaPath: cudaPath))
  }
}

/// A device as the command line names it.
enum DeviceName: ExpressibleByArgument, CustomStringConvertible {
  case cpu
  case cuda(Int)

  init?(argument: String) {
    switch argument.wholeMatch(of: /(cpu)|cuda(?::(\d{1,3}))?/) {
    case .some(let match) where match.1 != nil: self = .cpu
    case .some(let match): self = .cuda(match.2.flatMap { Int($0) } ?? 0)
    case nil: return nil
    }
  }

  var description: String {
    switch self {
    case .cpu: "cpu"
    case .cuda(let ordinal): "cuda:\(ordinal)"
    }
  }
}

/// The narrowest type of activations.
enum Precision: String, ExpressibleByArgument {
  case bfloat16, float32

  var type: DType { self == .bfloat16 ? .bfloat16 : .float32 }
}
