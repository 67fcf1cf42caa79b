import ArgumentParser
import Foundation
import MaTVLMCore

/// `matvlm info DIR`
struct Info: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Describes a model folder: architecture, layers by kind, parameters, bytes.")

  @Argument(help: "A model folder.", completion: .directory)
  var model: String

  @Flag(help: "Print one JSON object.")
  var json = false

  func run() throws {
    let summary = try ModelSummary(of: .load(URL(fileURLWithPath: model, isDirectory: true)))
    try StandardOutput.print(json ? summary.jsonText() : summary.description)
  }
}
