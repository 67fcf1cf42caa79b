import Foundation

/// A number, or the mean of a number over several runs.
struct Measurement: Sendable, Hashable {
  let mean: Double
  /// Of a sample; nil: there is one run.
  let deviation: Double?

  /// - Precondition: there is a value.
  init(_ values: [Double]) {
    let mean = values.reduce(0, +) / Double(values.count)
    self.mean = mean
    let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    deviation = values.count < 2 ? nil : (squares / Double(values.count - 1)).squareRoot()
  }

  var text: String { String(format: "%.1f", mean) + (deviation.map(Self.spread) ?? "") }

  private static func spread(_ deviation: Double) -> String { String(format: " ± %.1f", deviation) }
}

/// Models in rows, what was measured in columns.
struct ReportTable: Sendable {
  struct Model: Sendable, Hashable {
    let name: String
    /// Whether the paper says so, rather than a run here.
    let isPublished: Bool
  }

  /// Empty for the first, which needs none.
  let title: String
  /// Column heads, after that of the models.
  let columns: [String]
  let rows: [(model: Model, values: [Measurement?])]

  /// A table in GitHub's Markdown, after its title.
  var markdown: String {
    let head = "| model | " + columns.joined(separator: " | ") + " |"
    let rule = "| --- |" + String(repeating: " ---: |", count: columns.count)
    let body = rows.map { model, values in
      let name = model.name.replacingOccurrences(of: "|", with: "\\|")
      return "| \(name)\(model.isPublished ? " (paper)" : "") | "
        + values.map { $0?.text ?? "" }.joined(separator: " | ") + " |"
    }
    let heading = title.isEmpty ? "" : "\(title):\n\n"
    return heading + ([head, rule] + body).joined(separator: "\n") + "\n"
  }
}

extension ReportTable {
  /// Accuracies by ability, in per cent.
  /// - Parameter models: of each its runs; those without accuracies are left out.
  init?(_ title: String, _ models: [(name: String, runs: [AbilityAccuracies])]) {
    let known = models.filter { !$0.runs.isEmpty }
    guard !known.isEmpty else { return nil }
    let abilities = Set(known.flatMap { $0.runs.flatMap(\.abilities.keys) })
      .sorted { $0.compare($1, options: .numeric) == .orderedAscending }
    self.title = title
    columns = abilities + ["all"]
    rows = known.map { name, runs in
      let values = abilities.map { ability in runs.compactMap { $0.abilities[ability]?.fraction } }
      return (
        Model(name: name, isPublished: false),
        (values + [runs.map(\.total.fraction)]).map { values in
          values.isEmpty ? nil : Measurement(values.map { 100 * $0 })
        }
      )
    }
  }
}
