import ArgumentParser
import Foundation
import MaTVLMCore

/// `matvlm plot RUN…`
struct Plot: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Draws what logs of runs say: losses, rate, gradient norm, held-out accuracy.")

  @Argument(
    help: "Output folders of runs, finished or not; several are drawn over each other.",
    completion: .directory)
  var runs: [String]

  @Option(help: "The SVG file to write.", completion: .file(extensions: ["svg"]))
  var output: String

  func run() throws {
    let curves = try runs.map {
      try RunCurves(folder: URL(fileURLWithPath: $0, isDirectory: true))
    }
    try AtomicFile.write(Data(RunChart(curves).svg.utf8), to: URL(fileURLWithPath: output))
    try StandardOutput.print(output)
  }
}
