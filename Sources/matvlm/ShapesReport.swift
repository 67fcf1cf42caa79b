import ArgumentParser
import Foundation
import MaTVLMCore

/// What `evaluate` prints about shapes.
struct ShapesReport: Encodable {
  let total: Accuracy
  let abilities: [String: Accuracy]
  var divergence: DistributionDivergence?

  init(_ answers: AnswerEvaluation) { (total, abilities) = (answers.total, answers.abilities) }

  func text(isJSON: Bool) throws -> String { isJSON ? try jsonText() : table }

  private var table: String {
    let known = abilities.sorted { $0.key.compare($1.key, options: .numeric) == .orderedAscending }
    let lines = (known + [("all", total)]).map { name, accuracy in
      name.padding(toLength: 12, withPad: " ", startingAt: 0)
        + String(format: "%6.1f %%  %5d questions", 100 * accuracy.fraction, accuracy.questions)
    }
    let distance = divergence.map {
      String(format: "KL from the reference %.2e nats per token, %d tokens", $0.kl, $0.tokens)
    }
    return (lines + [distance].compactMap { $0 }).joined(separator: "\n")
  }
}

/// Numbers of turns separated by commas, each once.
struct TurnCounts: ExpressibleByArgument {
  let counts: [Int]

  /// nil too when a conversation would be longer than anything is meant to be.
  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
    let counts = parts.compactMap { $0 }
    guard counts.count == parts.count, Set(counts).count == counts.count,
      counts.allSatisfy((0...1000).contains)
    else { return nil }
    self.counts = counts.sorted()
  }
}
