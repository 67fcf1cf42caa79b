import ArgumentParser
import Foundation
import MaTVLMCore

/// `matvlm shapes`
struct Shapes: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Writes pictures of shapes and questions about them, train and held-out.")

  @Option(help: "The folder to write; it must not exist.", completion: .directory)
  var output: String

  @Option(parsing: .unconditional, help: "Pictures to learn from; a tenth as many are held out.")
  var count = 1000

  @Option(parsing: .unconditional, help: "The same seed draws the same pictures.")
  var seed: UInt64 = 0

  @Option(parsing: .unconditional, help: "Questions about each picture.")
  var turns = ShapeDataset.turnLimits.lowerBound

  @Flag(
    help: "Write the held-out pictures also in the files of POPE, MME, GQA and TextVQA.")
  var benchmarks = false

  func validate() throws {
    if !(1...10_000_000).contains(count) {
      throw ValidationError("--count must be between 1 and 10000000, not \(count).")
    }
    try ShapeDataset.check(turns: turns)
  }

  func run() throws {
    try ShapeDataset.write(
      to: URL(fileURLWithPath: output, isDirectory: true), seed: seed, turns: turns,
      trainCount: count, heldOutCount: max(1, count / 10), benchmarks: benchmarks)
    try StandardOutput.print(output)
  }
}

extension ShapeDataset {
  /// - Throws: `ValidationError` when no conversation has so many turns.
  static func check(turns: Int) throws {
    let limits = turnLimits
    guard limits.contains(turns) else {
      throw ValidationError(
        "--turns must be between \(limits.lowerBound) and \(limits.upperBound), not \(turns).")
    }
  }
}
