import MaTVLMImages
import MaTVLMText

/// Conversations to learn from, by number.
public protocol TrainingData: Sendable {
  var count: Int { get }

  /// What tells these samples from others: a run goes on only with the data that it began with.
  var identity: String { get }

  /// Whether a sample may have a picture; true unless said otherwise. Without pictures nothing reaches
  /// the connector, so that it does not train and distilling is faster.
  var hasPictures: Bool { get }

  /// - Throws: ``SampleError`` when the sample cannot be used.
  func sample(_ index: Int) throws -> TrainingSample
}

extension TrainingData {
  public var hasPictures: Bool { true }
}

/// One conversation, about a picture or not.
public struct TrainingSample: Sendable {
  /// How people find it in their file.
  public let id: String
  public let turns: [Turn]
  public let picture: RGBImage?

  public init(id: String, turns: [Turn], picture: RGBImage?) {
    (self.id, self.turns, self.picture) = (id, turns, picture)
  }
}

/// A sample that cannot be used, and why.
public struct SampleError: Error, Sendable, Codable, CustomStringConvertible {
  public let id: String
  public let reason: String

  public init(id: String, reason: String) { (self.id, self.reason) = (id, reason) }

  public var description: String { "sample \(id): \(reason)" }
}

/// What to do about a sample that cannot be used.
public enum BrokenSamplePolicy: String, Sendable, Hashable, Codable, CaseIterable {
  /// Report it and take the next one.
  case skip
  /// End the run.
  case stop
}
