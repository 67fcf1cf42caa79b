import MaTVLMShapes
import MaTVLMText

/// Shape pictures drawn as they are asked for: training data without files.
public struct ShapeTrainingData: TrainingData {
  private let dataset: ShapeDataset
  public let count: Int

  /// - Parameter count: samples of an epoch.
  public init(_ dataset: ShapeDataset, count: Int) { (self.dataset, self.count) = (dataset, count) }

  public var identity: String { "\(count) pictures of shapes, \(dataset.split), \(dataset.seed)" }

  public func sample(_ index: Int) -> TrainingSample {
    var turns = dataset.conversation(index).map {
      Turn(question: $0.question, answer: $0.answer)
    }
    if !turns.isEmpty {
      turns[0] = Turn(
        question: PromptTemplate.aboutPicture(turns[0].question), answer: turns[0].answer)
    }
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
