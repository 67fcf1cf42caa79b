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
    let folder = URL(fileURLWithPath: model, isDirectory: true)
    let summary = try ModelSummary(of: .load(folder))
    let report = Report(
      summary: summary, mixerOrigin: summary.mambaLayers.isEmpty ? nil : MixerOrigin(of: folder))
    try StandardOutput.print(json ? report.jsonText() : report.description)
  }

  /// What the model is, and what is known of how it came to be.
  private struct Report: Encodable {
    let summary: ModelSummary
    let mixerOrigin: MixerOrigin?

    private enum CodingKeys: CodingKey { case mixerOrigin }

    func encode(to encoder: any Encoder) throws {
      try summary.encode(to: encoder)
      var container = encoder.container(keyedBy: CodingKeys.self)
      try container.encodeIfPresent(mixerOrigin, forKey: .mixerOrigin)
    }

    var description: String {
      summary.description
        + (mixerOrigin.map { "\nmixers began as      \($0.description)" } ?? "")
    }
  }
}
