/// A row of the paper's tables (arXiv 2503.13440, tables 1 to 3).
enum PublishedResults {
  /// In the order of ``BenchmarkName``; MME is perception, ScienceQA its picture questions.
  static let rows: [ReportRow] = [
    row(
      "TinyLLaVA-Phi-2-SigLIP-3.1B, teacher",
      [1466.4, 66.1, 60.3, 62.1, 37.5, 73.0, 87.2, 38.4, 80.1]),
    row("MaTVLM 12.5 %", [1464.9, 58.7, 57.5, 61.2, 35.4, 67.2, 85.8, 38.0, 78.9]),
    row("MaTVLM 25 %", [1484.1, 61.2, 57.7, 61.5, 35.4, 68.0, 86.0, 37.3, 79.0]),
    row("MaTVLM 50 %", [1427.8, 59.4, 54.3, 60.8, 30.5, 64.9, 85.8, 34.8, 78.6]),
    row("MaTVLM 25 %, first layers", [1406.5, 60.8, 56.1, 61.2, 32.9, 64.3, 86.1, 33.0, 78.8]),
    row("MaTVLM 25 %, middle layers", [1392.9, 54.0, 53.0, 60.0, 32.4, 63.3, 85.0, 34.9, 77.9]),
  ]

  private static func row(_ name: String, _ scores: [Double]) -> ReportRow {
    ReportRow(
      name: name, isPublished: true,
      measured: Dictionary(
        uniqueKeysWithValues: zip(BenchmarkName.allCases, scores.map { Measurement([$0]) })))
  }
}
