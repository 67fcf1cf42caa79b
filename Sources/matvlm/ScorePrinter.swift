import Foundation
import MaTVLMCore

/// Scores as the command line shows them.
struct ScorePrinter {
  let isJSON: Bool

  /// Scores answers, prints the result, and leaves it with what is to be handed in.
  /// - Parameters:
  ///   - folder: where these are written; nil: nowhere.
  ///   - known: problems that were shown before.
  func score(
    _ name: BenchmarkName, _ answers: [AnswerRecord], _ files: BenchmarkFiles, seed: UInt64,
    into folder: EvaluationFolder?, known: [Problem] = []
  ) throws {
    let benchmark = name.benchmark
    let report = try benchmark.score(answers, files, seed: seed)
    if let folder {
      let submissions = try benchmark.submissions(answers, files, seed: seed)
      try folder.write(report, submissions)
      for file in submissions {
        StandardError.print("to hand in: \(folder.url.path)/submissions/\(file.name)")
      }
    }
    guard let report else {
      return StandardError.print(
        "\(benchmark.title): not scored; the right answers are not in --data, or only a server or a judge "
          + "has them")
    }
    Self.show(report.problems.filter(Set(report.problems).subtracting(known).contains))
    try StandardOutput.print(isJSON ? report.jsonText() : Self.table(report))
  }

  /// Some of each kind; all of them are in the score's file and in JSON.
  static func show(_ problems: [Problem]) {
    var shown: [Problem.Kind: Int] = [:]
    for problem in problems {
      shown[problem.kind, default: 0] += 1
      if shown[problem.kind]! <= 20 { StandardError.print("\(problem)") }
    }
    for (kind, count) in shown.sorted(by: { $0.key.rawValue < $1.key.rawValue }) where count > 20 {
      StandardError.print("\(kind.rawValue): \(count) in all")
    }
  }

  private static func table(_ report: ScoreReport) -> String {
    let head = "\(report.benchmark.benchmark.title), \(report.answers) answers"
    let scores = report.scores.enumerated().map { index, score in
      let note = score.note.isEmpty ? "" : "  (\(score.note))"
      // Of a second rule only what it changes.
      let figures = score.figures.filter { index == 0 || report.scores[0][$0.name] != $0.value }
      return
        ([String(format: "%@ %.2f%@", score.rule.rawValue, score.headline, note)]
        + figures.map { figure in
          "  " + figure.name.padding(toLength: 32, withPad: " ", startingAt: 0)
            + String(format: "%10.4f", figure.value)
        }).joined(separator: "\n")
    }
    return ([head] + scores).joined(separator: "\n")
  }
}
