/// Speed and memory over the length of the context, a curve for each model: what Figure 1 (b) and (c)
/// of arXiv:2503.13440 show.
public struct SpeedChart: Sendable {
  private let results: [BenchmarkResult]

  public init(_ results: [BenchmarkResult]) { self.results = results }

  /// The picture as text.
  public var svg: String {
    var names: [String] = []
    for result in results where !names.contains(result.name) { names.append(result.name) }
    func curves(_ value: (BenchmarkResult) -> Double?) -> [[LineChart.Point]?] {
      names.map { name in
        results.filter { $0.name == name }.sorted { $0.rows < $1.rows }.compactMap { result in
          value(result).map { LineChart.Point(x: Double(result.rows), y: $0) }
        }
      }
    }
    return LineChart(
      names: names,
      panels: [
        LineChart.Panel(
          title: "tokens per second, over rows of context",
          curves: curves { $0.speed?.tokensPerSecond }),
        LineChart.Panel(
          title: "GiB of weights and state, over rows of context",
          curves: curves { Double($0.weightBytes + $0.stateBytes) / 0x1p30 }, mayBeLog: false),
      ]
    ).svg
  }
}
