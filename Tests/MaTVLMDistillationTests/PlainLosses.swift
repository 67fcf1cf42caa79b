import Foundation
import MaTVLMDistillation
import MaTVLMTensor

/// The losses as their formulas stand, in double precision, on whole logits.
enum PlainLosses {
  static func softmax(_ logits: [Double], _ temperature: Double = 1) -> [Double] {
    let top = logits.max()!
    let weights = logits.map { exp(($0 - top) / temperature) }
    let sum = weights.reduce(0, +)
    return weights.map { $0 / sum }
  }

  static func divergence(_ p: [Double], from q: [Double]) -> Double {
    zip(p, q).reduce(0) { $0 + ($1.0 > 0 ? $1.0 * log($1.0 / $1.1) : 0) }
  }

  /// The divergence of one row; for the distance between logits its square.
  static func row(
    _ student: [Double], _ teacher: [Double], _ divergence: Divergence, _ temperature: Double
  ) -> Double {
    let (s, t) = (softmax(student, temperature), softmax(teacher, temperature))
    let m = zip(s, t).map { ($0 + $1) / 2 }
    func kl(_ p: [Double], _ q: [Double]) -> Double {
      temperature * temperature * Self.divergence(p, from: q)
    }
    switch divergence {
    case .forward: return kl(t, s)
    case .reverse: return kl(s, t)
    case .jensenShannon: return kl(t, m) / 2 + kl(s, m) / 2
    case .jensenShannonAuthors: return kl(m, t) / 2 + kl(m, s) / 2
    case .teacherArgmax:
      return -log(softmax(student)[teacher.indices.max { teacher[$0] < teacher[$1] }!])
    case .logitDistance: return zip(student, teacher).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    }
  }

  /// What one sequence contributes under an objective, unweighted.
  static func sequence(
    _ student: [[Double]], _ teacher: [[Double]], _ objective: DistillationObjective
  ) -> Double {
    guard !student.isEmpty else { return 0 }
    let rows = zip(student, teacher).map {
      row($0, $1, objective.divergence, Double(objective.temperature))
    }
    let sum = rows.reduce(0, +)
    switch (objective.divergence, objective.reduction) {
    case (.logitDistance, .authors): return sum.squareRoot()
    case (.logitDistance, .tokenMean):
      return rows.reduce(0) { $0 + $1.squareRoot() } / Double(rows.count)
    case (.teacherArgmax, _), (_, .tokenMean): return sum / Double(rows.count)
    case (_, .authors): return sum
    }
  }

  /// The mean cross-entropy of one sequence's labels; 0 when it has none.
  static func labels(_ student: [[Double]], _ labels: [Int]) -> Double {
    let losses = zip(student, labels).compactMap { logits, label in
      label < 0 ? nil : -log(softmax(logits)[label])
    }
    return losses.isEmpty ? 0 : losses.reduce(0, +) / Double(losses.count)
  }

  /// The Euclidean distance of two lists.
  static func distance(_ a: [Double], _ b: [Double]) -> Double {
    zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
  }
}

extension [Float] {
  /// Rows of `width` numbers, in double precision.
  func rows(_ width: Int) -> [[Double]] {
    stride(from: 0, to: count, by: width).map { self[$0..<$0 + width].map(Double.init) }
  }
}
