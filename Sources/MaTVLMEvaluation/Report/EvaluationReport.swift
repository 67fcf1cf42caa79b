import Foundation

/// One model's scores.
public struct ReportRow: Sendable, Hashable {
  /// Of the model.
  public let name: String
  /// Whether the paper says so, rather than a run here.
  public let isPublished: Bool
  /// As the paper's table has them: points of MME, per cent otherwise.
  public let scores: [BenchmarkName: Double]

  /// The mean of all nine with MME / 20, as the paper computes it; nil when one is missing.
  public var average: Double? {
    let values = BenchmarkName.allCases.compactMap { name in
      scores[name].map { name == .mme ? $0 / 20 : $0 }
    }
    guard values.count == BenchmarkName.allCases.count else { return nil }
    return values.reduce(0, +) / Double(values.count)
  }
}

/// Models beside each other and beside the paper.
public struct EvaluationReport: Sendable {
  /// Runs in the order given, then the paper's.
  public let rows: [ReportRow]
  /// By which the runs were scored.
  public let rule: Score.Rule

  private typealias ServerScores = [String: Double]

  /// Reads the scores of each folder, and those that a server gave and a user noted in
  /// `server-scores.json`.
  ///
  /// - Parameter rule: where a benchmark has no score by it, the published one counts.
  /// - Throws: ``EvaluationError`` when a folder has no scores, or a file is not of its shape.
  public init(_ folders: [EvaluationFolder], _ rule: Score.Rule = .published) throws {
    self.rule = rule
    rows = try folders.map { try Self.row($0, rule) } + PublishedResults.rows
  }

  private static func row(_ folder: EvaluationFolder, _ rule: Score.Rule) throws -> ReportRow {
    var scores: [BenchmarkName: Double] = [:]
    for name in BenchmarkName.allCases {
      let file = folder.score(name)
      guard FileManager.default.fileExists(atPath: file.path) else { continue }
      let report: ScoreReport = try OutputFiles.read(file, "a score")
      scores[name] = (report[rule] ?? report[.published])?.headline
    }
    if FileManager.default.fileExists(atPath: folder.serverScores.path) {
      let expected = "an object of numbers by benchmark, such as {\"mm-vet\": 35.4}"
      let given: ServerScores = try InputFile.json(folder.serverScores, expected)
      for (key, value) in given {
        guard let name = BenchmarkName(rawValue: key) else {
          throw EvaluationError.malformed(
            path: folder.serverScores.path, place: "'\(key)'", expected: expected)
        }
        scores[name] = value
      }
    }
    guard !scores.isEmpty else {
      throw EvaluationError.missing(
        path: folder.url.path, role: "score", option: "'matvlm score --output'")
    }
    return ReportRow(name: folder.url.lastPathComponent, isPublished: false, scores: scores)
  }

  /// Column heads, after that of the models.
  var columns: [String] { BenchmarkName.allCases.map { $0.benchmark.title } + ["average"] }

  /// Cells of a row, empty where there is no score.
  func cells(_ row: ReportRow) -> [String] {
    (BenchmarkName.allCases.map { row.scores[$0] } + [row.average])
      .map { $0.map { String(format: "%.1f", $0) } ?? "" }
  }

  /// A table in GitHub's Markdown.
  public var markdown: String {
    let head = "| model | " + columns.joined(separator: " | ") + " |"
    let rule = "| --- |" + String(repeating: " ---: |", count: columns.count)
    let body = rows.map { row in
      let name = row.name.replacingOccurrences(of: "|", with: "\\|")
      return "| \(name)\(row.isPublished ? " (paper)" : "") | "
        + cells(row).joined(separator: " | ") + " |"
    }
    return ([head, rule] + body).joined(separator: "\n") + "\n"
  }

  /// RFC 4180, with a column that says where a row is from.
  public var csv: String {
    let head = ["model", "source"] + columns
    let body = rows.map { [$0.name, $0.isPublished ? "paper" : "run"] + cells($0) }
    return ([head] + body).map { $0.map(Self.csvField).joined(separator: ",") + "\n" }.joined()
  }

  private static func csvField(_ text: String) -> String {
    let needsQuotes = text.contains { ",\"\n\r".contains($0) || $0 == "\r\n" }
    return needsQuotes ? "\"" + text.replacingOccurrences(of: "\"", with: "\"\"") + "\"" : text
  }

  /// Writes `report.md`, `report.csv` and `report.html` into a folder, which is made.
  /// - Throws: ``EvaluationError/unwritable(path:reason:)``.
  public func write(to folder: URL) throws {
    try OutputFiles.createFolder(folder)
    for (name, text) in [
      ("report.md", markdown), ("report.csv", csv), ("report.html", ReportPage(self).html),
    ] {
      try OutputFiles.write(Data(text.utf8), to: folder.appendingPathComponent(name))
    }
  }
}
