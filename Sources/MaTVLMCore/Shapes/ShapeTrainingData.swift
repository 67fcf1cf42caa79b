import MaTVLMShapes
import MaTVLMText

/// Shape pictures drawn as they are asked for: training data without files.
public struct ShapeTrainingData: TrainingData {
  private let dataset: ShapeDataset
  public let count: Int

  /// - Parameter count: samples of an epoch.
  public init(_ dataset: ShapeDataset, count: Int) { (self.dataset, self.count) = (dataset, count) }

  public var identity: String {
    "\(count) pictures of shapes, \(dataset.turns) turns, \(dataset.split), \(dataset.seed)"
  }

  public func sample(_ index: Int) -> TrainingSample {
    let turns = VisionLanguageModel.conversation(
      dataset.conversation(index).map(Turn.init), withPicture: true)
    return TrainingSample(id: "\(index)", turns: turns, picture: dataset.picture(index))
  }
}

extension EvaluationQuestion {
  /// Every question about the first `pictures` pictures.
  public static func shapes(_ dataset: ShapeDataset, pictures: Int) -> [EvaluationQuestion] {
    (0..<pictures).flatMap { index in
      let picture = dataset.picture(index)
      return dataset.conversation(index).map { turn in
        EvaluationQuestion(
          ability: turn.ability.rawValue, question: turn.question, answer: turn.answer,
          picture: picture)
      }
    }
  }
}

extension EvaluationQuestion {
  /// What is written in a picture, asked after so many turns about other things: the same questions
  /// for each of `distances`, which is their ability.
  ///
  /// - Parameter pictures: with something written.
  /// - Precondition: no number is negative.
  public static func needles(
    _ dataset: ShapeDataset, pictures: Int, distances: [Int]
  ) -> [EvaluationQuestion] {
    let written = Array((0...).lazy.filter { dataset.needle($0, after: 0) != nil }.prefix(pictures))
    return written.flatMap { index in
      distances.map { distance in
        let turns = dataset.needle(index, after: distance)!
        let last = turns[distance]
        return EvaluationQuestion(
          ability: distance == 1 ? "1 turn" : "\(distance) turns", question: last.question,
          answer: last.answer, picture: dataset.picture(index),
          earlier: turns.prefix(distance).map(Turn.init))
      }
    }
  }
}

extension Turn {
  fileprivate init(_ turn: ShapeTurn) { self.init(question: turn.question, answer: turn.answer) }
}
