import ArgumentParser
import Foundation
import MaTVLMCore

/// `matvlm report RUN…`
struct Report: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Puts evaluations into one table, beside the paper's.",
    discussion: """
      Each folder is one model: what 'matvlm evaluate --benchmark' wrote, and a file \
      server-scores.json such as {"mm-vet": 35.4} for scores that were given elsewhere.
      """)

  @Argument(help: "Folders of evaluations.", completion: .directory)
  var runs: [String] = []

  @Option(help: "Which scores: published, corrected.")
  var rule: Score.Rule = .published

  @Option(
    help: "A folder for report.md, report.csv and report.html; nothing is written without it.",
    completion: .directory)
  var output: String?

  func run() throws {
    let folders = runs.map { EvaluationFolder(URL(fileURLWithPath: $0).standardizedFileURL) }
    let report = try EvaluationReport(folders, rule)
    if let output { try report.write(to: URL(fileURLWithPath: output)) }
    try StandardOutput.write(report.markdown)
  }
}
