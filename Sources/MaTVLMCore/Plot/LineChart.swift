import Foundation

/// Curves over each other in panels, two side by side, as one SVG picture.
struct LineChart: Sendable {
  struct Point: Sendable, Hashable {
    let x: Double
    let y: Double
  }

  struct Panel: Sendable {
    let title: String
    /// The curve of each name; nil: it has none here.
    let curves: [[Point]?]
    /// Whether values may be drawn by their logarithm.
    var mayBeLog = true
  }

  /// Told apart by people with any colour vision (Okabe and Ito 2008).
  private static let colours = [
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000",
  ]
  private static let (columns, panelWidth, panelHeight, legendLine) = (2, 480.0, 240.0, 20.0)

  let names: [String]
  let panels: [Panel]

  /// The picture as text.
  var svg: String {
    let top = 12 + Self.legendLine * Double(names.count)
    let rows = (panels.count + Self.columns - 1) / Self.columns
    let (width, height) = (
      Self.panelWidth * Double(Self.columns), top + Self.panelHeight * Double(rows)
    )
    var parts = [
      #"<svg xmlns="http://www.w3.org/2000/svg" width="\#(plain(width))" height="\#(plain(height))" "#
        + #"viewBox="0 0 \#(plain(width)) \#(plain(height))" font-family="sans-serif" font-size="11">"#,
      #"<rect width="100%" height="100%" fill="white"/>"#,
    ]
    for (number, name) in names.enumerated() {
      let y = 16 + Self.legendLine * Double(number)
      parts.append(
        #"<rect x="16" y="\#(plain(y - 6))" width="24" height="4" fill="\#(colour(number))"/>"#
          + #"<text x="48" y="\#(plain(y))">\#(escaped(name))</text>"#)
    }
    for (number, panel) in panels.enumerated() {
      let x = Self.panelWidth * Double(number % Self.columns)
      let y = top + Self.panelHeight * Double(number / Self.columns)
      parts.append(#"<g transform="translate(\#(plain(x)) \#(plain(y)))">"#)
      parts += elements(of: panel)
      parts.append("</g>")
    }
    return (parts + ["</svg>", ""]).joined(separator: "\n")
  }

  private func elements(of panel: Panel) -> [String] {
    let points = panel.curves.flatMap { $0 ?? [] }
    let x = Axis(points.map(\.x), from: 64, to: Self.panelWidth - 16, mayBeLog: false)
    let y = Axis(points.map(\.y), from: Self.panelHeight - 32, to: 24, mayBeLog: panel.mayBeLog)
    var parts = [
      #"<text x="64" y="14" font-weight="bold">\#(escaped(panel.title))\#(y.isLog ? ", log scale" : "")"#
        + "</text>"
    ]
    for tick in y.ticks {
      let place = plain(y.place(tick))
      parts.append(
        #"<path d="M64 \#(place)H\#(plain(Self.panelWidth - 16))" stroke="lightgray"/>"#
          + #"<text x="60" y="\#(place)" dy="4" text-anchor="end">\#(label(tick))</text>"#)
    }
    for tick in x.ticks {
      parts.append(
        #"<text x="\#(plain(x.place(tick)))" y="\#(plain(Self.panelHeight - 16))" "#
          + #"text-anchor="middle">\#(label(tick))</text>"#)
    }
    for (number, curve) in panel.curves.enumerated() {
      guard let curve, !curve.isEmpty else { continue }
      parts.append(curveElement(curve, x, y, colour(number)))
    }
    return parts
  }

  /// A line, or a dot where there is one point only.
  private func curveElement(_ curve: [Point], _ x: Axis, _ y: Axis, _ colour: String) -> String {
    let places = thinned(curve).map { "\(plain(x.place($0.x))) \(plain(y.place($0.y)))" }
    guard places.count > 1 else {
      let place = places[0].split(separator: " ")
      return #"<circle cx="\#(place[0])" cy="\#(place[1])" r="3" fill="\#(colour)"/>"#
    }
    return
      #"<polyline fill="none" stroke="\#(colour)" points="\#(places.joined(separator: ", "))"/>"#
  }

  /// A long run has more updates than the picture has columns: of each column's points the lowest and
  /// the highest stay, so that no outlier is lost.
  private func thinned(_ curve: [Point]) -> [Point] {
    let columns = Int(Self.panelWidth)
    guard curve.count > 4 * columns else { return curve }
    return (0..<columns).flatMap { column -> [Point] in
      let part = curve[curve.count * column / columns..<curve.count * (column + 1) / columns]
      guard let low = part.min(by: { $0.y < $1.y }), let high = part.max(by: { $0.y < $1.y })
      else { return [] }
      return low.x <= high.x ? [low, high] : [high, low]
    }
  }

  private func colour(_ number: Int) -> String { Self.colours[number % Self.colours.count] }
}

private func escaped(_ text: String) -> String {
  text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
    .filter { !$0.unicodeScalars.contains { $0.value < 0x20 } }
}

private func plain(_ number: Double) -> String {
  let rounded = (number * 100).rounded() / 100
  return rounded == rounded.rounded() ? String(Int(rounded)) : "\(rounded)"
}

private func label(_ number: Double) -> String { String(format: "%.4g", number) }
