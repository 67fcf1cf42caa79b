/// Yes and no, said and true.
package struct Confusion: Sendable, Hashable {
  package private(set) var truePositives = 0
  package private(set) var falsePositives = 0
  package private(set) var trueNegatives = 0
  package private(set) var falseNegatives = 0

  mutating func count(said: Bool, label: Bool) {
    switch (said, label) {
    case (true, true): truePositives += 1
    case (true, false): falsePositives += 1
    case (false, false): trueNegatives += 1
    case (false, true): falseNegatives += 1
    }
  }

  private var all: Int { truePositives + falsePositives + trueNegatives + falseNegatives }

  // Where the authors' script divides by zero, these are 0.
  package var accuracy: Double { Self.ratio(truePositives + trueNegatives, all) }
  package var precision: Double { Self.ratio(truePositives, truePositives + falsePositives) }
  package var recall: Double { Self.ratio(truePositives, truePositives + falseNegatives) }
  package var yesRatio: Double { Self.ratio(truePositives + falsePositives, all) }

  package var f1: Double {
    let sum = precision + recall
    return sum == 0 ? 0 : 2 * precision * recall / sum
  }

  /// Figures called `prefix.f1` and so on, as the authors' script prints them.
  func figures(_ prefix: String) -> [Figure] {
    [
      ("samples", Double(all)), ("tp", Double(truePositives)), ("fp", Double(falsePositives)),
      ("tn", Double(trueNegatives)), ("fn", Double(falseNegatives)), ("accuracy", accuracy),
      ("precision", precision), ("recall", recall), ("f1", f1), ("yes_ratio", yesRatio),
    ].map { Figure("\(prefix).\($0)", $1) }
  }

  private static func ratio(_ part: Int, _ whole: Int) -> Double {
    whole == 0 ? 0 : Double(part) / Double(whole)
  }
}
