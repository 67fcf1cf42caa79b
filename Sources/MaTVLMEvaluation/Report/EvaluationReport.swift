import Foundation

/// One model's scores.
public struct ReportRow: Sendable, Hashable {
  /// Of the model.
  public let name: String
  /// Whether the paper says so, rather than a run here.
  public let isPublished: Bool
  /// Over the runs of that name.
  let measured: [BenchmarkName: Measurement]

  /// As the paper's table has them: points of MME, per cent otherwise; means if there are several
  /// runs.
  public var scores: [BenchmarkName: Double] { measured.mapValues(\.mean) }

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
  /// What was found out about pictures of shapes.
  private let shapes: [ReportTable]

  private typealias ServerScores = [String: Double]

  /// Reads the scores of each folder, those that a server gave and a user noted in
  /// `server-scores.json`, and accuracies about pictures of shapes. Folders of one name are runs of
  /// one model with different seeds.
  ///
  /// - Parameter rule: where a benchmark has no score by it, the published one counts.
  /// - Throws: ``EvaluationError`` when a folder has no scores, or a file is not of its shape.
  public init(_ folders: [EvaluationFolder], _ rule: Score.Rule = .published) throws {
    self.rule = rule
    for folder in folders where !folder.hasScores {
      throw EvaluationError.missing(
        path: folder.url.path, role: "score", option: "'matvlm score --output'")
    }
    var models: [(name: String, folders: [EvaluationFolder])] = []
    for folder in folders {
      let name = folder.url.lastPathComponent
      if let known = models.firstIndex(where: { $0.name == name }) {
        models[known].folders.append(folder)
      } else {
        models.append((name, [folder]))
      }
    }
    rows = try models.compactMap { try Self.row($0, $1, rule) } + PublishedResults.rows
    shapes = try [
      ("Pictures of shapes, right answers in per cent", \EvaluationFolder.shapes),
      ("What is written, asked after some turns about other things, in per cent", \.needle),
    ].compactMap { title, file in
      ReportTable(title, try models.map { ($0.name, try Self.accuracies($0.folders, file)) })
    }
  }

  private static func row(_ name: String, _ folders: [EvaluationFolder], _ rule: Score.Rule)
    throws -> ReportRow?
  {
    let runs = try folders.map { try scores($0, rule) }
    var measured: [BenchmarkName: Measurement] = [:]
    for name in BenchmarkName.allCases {
      let values = runs.compactMap { $0[name] }
      if !values.isEmpty { measured[name] = Measurement(values) }
    }
    return measured.isEmpty ? nil : ReportRow(name: name, isPublished: false, measured: measured)
  }

  private static func scores(_ folder: EvaluationFolder, _ rule: Score.Rule) throws
    -> [BenchmarkName: Double]
  {
    var scores: [BenchmarkName: Double] = [:]
    for name in BenchmarkName.allCases {
      let file = folder.score(name)
      guard FileManager.default.fileExists(atPath: file.path) else { continue }
      let report: ScoreReport = try OutputFiles.read(file, "a score")
      scores[name] = (report[rule] ?? report[.published])?.headline
    }
    guard FileManager.default.fileExists(atPath: folder.serverScores.path) else { return scores }
    let expected = "an object of numbers by benchmark, such as {\"mm-vet\": 35.4}"
    let given: ServerScores = try InputFile.json(folder.serverScores, expected)
    for (key, value) in given {
      guard let name = BenchmarkName(rawValue: key) else {
        throw EvaluationError.malformed(
          path: folder.serverScores.path, place: "'\(key)'", expected: expected)
      }
      scores[name] = value
    }
    return scores
  }

  private static func accuracies(
    _ folders: [EvaluationFolder], _ file: KeyPath<EvaluationFolder, URL>
  ) throws -> [AbilityAccuracies] {
    try folders.map { $0[keyPath: file] }
      .filter { FileManager.default.fileExists(atPath: $0.path) }
      .map { try OutputFiles.read($0, "accuracies by ability") }
  }

  /// The benchmarks, and then what there is about shapes.
  var tables: [ReportTable] {
    let benchmarks = ReportTable(
      title: "", columns: BenchmarkName.allCases.map { $0.benchmark.title } + ["average"],
      rows: rows.map { row in
        let average = row.average.map { Measurement([$0]) }
        return (
          ReportTable.Model(name: row.name, isPublished: row.isPublished),
          BenchmarkName.allCases.map { row.measured[$0] } + [average]
        )
      })
    return [benchmarks] + shapes
  }

  /// Tables in GitHub's Markdown.
  public var markdown: String { tables.map(\.markdown).joined(separator: "\n") }

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

extension EvaluationReport {
  /// RFC 4180: all tables side by side, means of several runs, with a column that says where a row
  /// is from.
  public var csv: String {
    let tables = tables
    var models: [ReportTable.Model] = []
    for (model, _) in tables.flatMap(\.rows) where !models.contains(model) { models.append(model) }
    // A model that only the later tables have would follow the paper's rows.
    let ordered = models.filter { !$0.isPublished } + models.filter(\.isPublished)
    let body = ordered.map { model -> [String] in
      let cells = tables.flatMap { table -> [String] in
        let values = table.rows.first { $0.model == model }?.values
        return (values ?? table.columns.map { _ in nil })
          .map { $0.map { String(format: "%.1f", $0.mean) } ?? "" }
      }
      return [model.name, model.isPublished ? "paper" : "run"] + cells
    }
    return ([["model", "source"] + tables.flatMap(\.columns)] + body)
      .map { $0.map(Self.csvField).joined(separator: ",") + "\n" }.joined()
  }

  private static func csvField(_ text: String) -> String {
    let needsQuotes = text.contains { ",\"\n\r".contains($0) || $0 == "\r\n" }
    return needsQuotes ? "\"" + text.replacingOccurrences(of: "\"", with: "\"\"") + "\"" : text
  }
}
