/// Where a run is, between two updates. With the parameters, their moments and the configuration it
/// is all that a run needs to go on: the order of samples follows from the seed and the visits, the
/// learning rate from the number of updates, and no gradient is pending.
public struct TrainingPosition: Sendable, Hashable, Codable {
  /// Updates made.
  public internal(set) var step = 0
  /// Where in the data the next update begins.
  package var samples = SamplePosition()
  /// The held-out evaluation with the smallest loss.
  public internal(set) var best: BestEvaluation?
  /// What the next update is judged by.
  var watch = OutlierWatch()
}

/// Where in the data a run is.
package struct SamplePosition: Sendable, Hashable, Codable {
  /// Samples visited, broken ones too.
  var visits = 0
  /// Broken samples since the last usable one.
  var broken = 0
}

/// The held-out evaluation of a run that had the smallest weighted loss.
public struct BestEvaluation: Sendable, Hashable, Codable {
  /// Updates before it.
  public let step: Int
  public let loss: Double
}
