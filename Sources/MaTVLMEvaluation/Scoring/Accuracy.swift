/// How many answers were right.
public struct Accuracy: Sendable, Hashable, Codable {
  /// Answers that were right.
  public private(set) var right = 0
  /// Answers in all.
  public private(set) var questions = 0

  /// Nothing counted yet.
  public init() {}

  /// Between 0 and 1; 0 when there was no question.
  public var fraction: Double { questions == 0 ? 0 : Double(right) / Double(questions) }

  /// Counts one more.
  package mutating func count(_ isRight: Bool) {
    questions += 1
    if isRight { right += 1 }
  }
}

/// Accuracies of one model about pictures of shapes: what `matvlm evaluate` leaves in a folder.
struct AbilityAccuracies: Decodable {
  let total: Accuracy
  let abilities: [String: Accuracy]
}
