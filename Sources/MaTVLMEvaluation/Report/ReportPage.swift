import Foundation

/// The report as one HTML page: table, and a plot of each benchmark. It loads nothing and runs nothing.
struct ReportPage {
  private let report: EvaluationReport

  init(_ report: EvaluationReport) { self.report = report }

  var html: String {
    """
    <!DOCTYPE html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Evaluation</title>
    <style>\(Self.style)</style>
    </head>
    <body>
    <h1>Evaluation</h1>
    <p>Scores by the \(report.rule.rawValue) rules. MME counts as its points / 20 in the average, which
    needs all nine. Rows of the paper are grey.</p>
    <div class="wide"><table>
    <thead><tr><th>model</th>\(report.columns.map { "<th>\(Self.escaped($0))</th>" }.joined())</tr></thead>
    <tbody>
    \(report.rows.map(tableRow).joined(separator: "\n"))
    </tbody>
    </table></div>
    <div class="plots">
    \(report.columns.indices.compactMap(plot).joined(separator: "\n"))
    </div>
    </body>
    </html>

    """
  }

  private func tableRow(_ row: ReportRow) -> String {
    "<tr\(row.isPublished ? " class=\"paper\"" : "")><th>\(Self.escaped(row.name))</th>"
      + report.cells(row).map { "<td>\($0)</td>" }.joined() + "</tr>"
  }

  // In units of the drawing.
  private static let (barHeight, labelWidth, barWidth, valueWidth) = (22, 250, 260, 60)

  /// Bars of one column, from zero; nil when no model has a score in it.
  private func plot(_ column: Int) -> String? {
    let bars = report.rows.compactMap { row -> (row: ReportRow, value: Double)? in
      let names = BenchmarkName.allCases
      let value = column < names.count ? row.scores[names[column]] : row.average
      return value.map { (row, $0) }
    }
    guard let largest = bars.map(\.value).max(), largest > 0 else { return nil }
    let (width, height) = (
      Self.labelWidth + Self.barWidth + Self.valueWidth, bars.count * Self.barHeight
    )
    let drawn = bars.enumerated().map { index, bar in
      let y = index * Self.barHeight
      let length = String(format: "%.1f", max(0, bar.value / largest) * Double(Self.barWidth))
      let value = String(format: "%.1f", bar.value)
      return """
        <text x="\(Self.labelWidth - 8)" y="\(y + 15)" text-anchor="end">\(Self.escaped(bar.row.name))</text>
        <rect x="\(Self.labelWidth)" y="\(y + 3)" width="\(length)" height="\(Self.barHeight - 6)"\
         class="\(bar.row.isPublished ? "paper" : "run")"/>
        <text x="\(Self.labelWidth + Self.barWidth + 8)" y="\(y + 15)">\(value)</text>
        """
    }
    let title = Self.escaped(report.columns[column])
    return """
      <figure><figcaption>\(title)</figcaption>
      <svg viewBox="0 0 \(width) \(height)" role="img" aria-label="\(title)">
      \(drawn.joined(separator: "\n"))
      </svg></figure>
      """
  }

  private static let style = """
    body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem;\
    color:#1b1f24;background:#fff}
    .wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
    th,td{padding:.3rem .7rem;border-bottom:1px solid #d5dae0;text-align:right;white-space:nowrap}
    th:first-child{text-align:left}tr.paper *{color:#5b6673;font-weight:400}
    .plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(22rem,1fr));gap:1.5rem;margin-top:2rem}
    figure{margin:0}figcaption{font-weight:600}svg{width:100%;height:auto;font-size:13px}
    rect.run{fill:#2563eb}rect.paper{fill:#b6bec8}
    @media(prefers-color-scheme:dark){body{color:#e6e9ed;background:#14171b}th,td{border-color:#333a42}\
    tr.paper *{color:#98a3b0}svg text{fill:#e6e9ed}rect.paper{fill:#4b5560}rect.run{fill:#6d9bff}}
    """

  private static func escaped(_ text: String) -> String {
    text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;")
      .replacingOccurrences(of: ">", with: "&gt;").replacingOccurrences(of: "\"", with: "&quot;")
  }
}
