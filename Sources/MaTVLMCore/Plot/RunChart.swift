/// Curves of several runs over each other as one SVG picture: losses, learning rate, gradient norm,
/// held-out losses and accuracy, each in a panel of its own.
public struct RunChart: Sendable {
  private let runs: [RunCurves]

  private static let panels: [(key: String, title: String)] = [
    ("loss", "loss, weighted"), ("layer", "layer"), ("kl", "kl"), ("ce", "ce"),
    ("lr", "learning rate"), ("gradient_norm", "gradient norm before clipping"),
    ("held-out layer", "held-out layer"), ("held-out kl", "held-out kl"),
    ("held-out ce", "held-out ce"), ("held-out accuracy", "held-out accuracy"),
  ]

  public init(_ runs: [RunCurves]) { self.runs = runs }

  /// The picture as text.
  public var svg: String {
    let shown = Self.panels.filter { panel in runs.contains { $0.curves[panel.key] != nil } }
    return LineChart(
      names: runs.map(\.name),
      panels: shown.map { key, title in
        LineChart.Panel(
          title: title,
          curves: runs.map { run in
            run.curves[key]?.map { LineChart.Point(x: Double($0.step), y: $0.value) }
          },
          mayBeLog: key != "held-out accuracy")
      }
    ).svg
  }
}
