import MaTVLMImages

/// Pictures of a few coloured shapes, some with a digit or letter, and a conversation about each:
/// data that needs no download. Endless and random access: picture `i` follows from the seed, the
/// split and `i` alone, on every platform.
public struct ShapeDataset: Sendable, Equatable {
  /// Which layouts a data set draws from. One in sixteen is held out: a layout's fingerprint
  /// decides its split, so no seed ever shows a held-out layout in training.
  public enum Split: String, Sendable, CaseIterable {
    case train
    case heldOut = "held-out"

    static func of(_ scene: ShapeScene) -> Split {
      (scene.fingerprint >> 32) % 16 == 0 ? .heldOut : .train
    }
  }

  public let seed: UInt64
  public let split: Split
  /// Questions about each picture.
  public let turns: Int

  /// How many different questions there can be about a picture.
  public static let turnLimits = ShapeQuestions.turns...32

  /// - Precondition: `turns` is in ``turnLimits``.
  public init(seed: UInt64 = 0, split: Split, turns: Int = turnLimits.lowerBound) {
    precondition(Self.turnLimits.contains(turns), "ShapeDataset: \(turns) turns")
    self.seed = seed
    self.split = split
    self.turns = turns
  }

  /// The picture of sample `index`, `[48, 48, 3]`: a 3 x 3 grid, each cell 2 x 2 patches of 8.
  ///
  /// - Precondition: `index` is not negative.
  public func picture(_ index: Int) -> RGBImage {
    var generator = generator(.drawing, index)
    return ShapePicture.image(of: scene(index), using: &generator)
  }

  /// The questions about picture `index` and their answers.
  ///
  /// - Precondition: `index` is not negative.
  public func conversation(_ index: Int) -> [ShapeTurn] {
    var questions = ShapeQuestions(about: scene(index), using: generator(.questions, index))
    return questions.conversation(of: turns)
  }

  /// A fact early, a question late: `distance` turns about other things in picture `index`, and then
  /// what is written there. What comes before says nothing of it. The last question is the same
  /// after any number of turns.
  ///
  /// - Returns: nil when nothing is written there.
  /// - Precondition: neither number is negative.
  public func needle(_ index: Int, after distance: Int) -> [ShapeTurn]? {
    precondition(distance >= 0, "needle: after \(distance) turns")
    var questions = ShapeQuestions(about: scene(index), using: generator(.needle, index))
    return questions.needle(after: distance)
  }

  /// What the tokenizer's merges are learned from: each question as it stands at the start of a
  /// line and after a space, each answer after a space, of the first `count` conversations.
  public func trainingText(count: Int) -> [String] {
    (0..<count).flatMap { index in
      conversation(index).flatMap { [$0.question, " \($0.question)", " \($0.answer)"] }
    }
  }

  /// What picture `index` shows: the first scene drawn that belongs to the split.
  package func scene(_ index: Int) -> ShapeScene {
    var generator = generator(.scene, index)
    while true {
      let scene = ShapeScene(using: &generator)
      if Split.of(scene) == split { return scene }
    }
  }

  /// Each sample has several generators, so that a picture does not depend on its questions.
  enum Stream: UInt64 {
    case scene, drawing, questions, needle, benchmarks
  }

  func generator(_ stream: Stream, _ index: Int) -> SplitMix64 {
    precondition(index >= 0, "ShapeDataset: there is no sample \(index)")
    return SplitMix64(seed, split == .train ? 0 : 1, stream.rawValue, UInt64(index))
  }
}
