/// Agreement with ten annotators: each is left out in turn, and three of the others make an answer
/// right.
package enum SoftAccuracy {
  /// - Parameters:
  ///   - answer: in the same form as `references`.
  /// - Returns: between 0 and 1; 0 when there is no reference.
  package static func score(_ answer: String, _ references: [String]) -> Double {
    guard !references.isEmpty else { return 0 }
    let matches = references.count { $0 == answer }
    let sum = references.reduce(0.0) { sum, reference in
      sum + min(1, Double(reference == answer ? matches - 1 : matches) / 3)
    }
    return sum / Double(references.count)
  }
}
