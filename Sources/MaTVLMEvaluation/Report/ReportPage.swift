import Foundation

/// The report as one HTML page: tables, and a plot of each of their columns. It loads nothing and runs nothing.
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
    needs all nine. Rows of the paper are grey. A ± is the standard deviation over several runs.</p>
    \(report.tables.map(section).joined(separator: "\n"))
    </body>
    </html>

    """
  }

  private func section(_ table: ReportTable) -> String {
    let heading = table.title.isEmpty ? "" : "<h2>\(Self.escaped(table.title))</h2>\n"
    let head = table.columns.map { "<th>\(Self.escaped($0))</th>" }.joined()
    return heading + """
      <div class="wide"><table>
      <thead><tr><th>model</th>\(head)</tr></thead>
      <tbody>
      \(table.rows.map(tableRow).joined(separator: "\n"))
      </tbody>
      </table></div>
      <div class="plots">
      \(table.columns.indices.compactMap { plot(table, $0) }.joined(separator: "\n"))
      </div>
      """
  }

  private func tableRow(_ model: ReportTable.Model, _ values: [Measurement?]) -> String {
    "<tr\(model.isPublished ? " class=\"paper\"" : "")><th>\(Self.escaped(model.name))</th>"
      + values.map { "<td>\($0?.text ?? "")</td>" }.joined() + "</tr>"
  }

  // In units of the drawing.
  private static let (barHeight, labelWidth, barWidth, valueWidth) = (22, 250, 240, 80)

  /// Bars of one column, from zero; nil when no model has a score in it.
  private func plot(_ table: ReportTable, _ column: Int) -> String? {
    let bars = table.rows.compactMap { model, values in values[column].map { (model, $0) } }
    guard let largest = bars.map(\.1.mean).max(), largest > 0 else { return nil }
    let (width, height) = (
      Self.labelWidth + Self.barWidth + Self.valueWidth, bars.count * Self.barHeight
    )
    let drawn = bars.enumerated().map { index, bar in
      let ((model, value), y) = (bar, index * Self.barHeight)
      let length = String(format: "%.1f", max(0, value.mean / largest) * Double(Self.barWidth))
      return """
        <text x="\(Self.labelWidth - 8)" y="\(y + 15)" text-anchor="end">\(Self.escaped(model.name))</text>
        <rect x="\(Self.labelWidth)" y="\(y + 3)" width="\(length)" height="\(Self.barHeight - 6)"\
         class="\(model.isPublished ? "paper" : "run")"/>
        <text x="\(Self.labelWidth + Self.barWidth + 8)" y="\(y + 15)">\(value.text)</text>
        """
    }
    let title = Self.escaped(table.columns[column])
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
    th,td{padding:.3rem .5rem;border-bottom:1px solid #d5dae0;text-align:right}
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
