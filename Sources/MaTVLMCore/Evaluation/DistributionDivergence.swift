import MaTVLMDistillation
import MaTVLMShapes
import MaTVLMTensor
import MaTVLMText

/// How far a model's distributions over the next token are from another model's.
public struct DistributionDivergence: Sendable, Hashable, Codable {
  /// The mean over all answers' tokens of KL(reference ‖ model), in nats.
  public let kl: Double
  /// Tokens of answers, the end of text after each counted in.
  public let tokens: Int

  /// Reads the known answers, each after its question, with both models.
  ///
  /// - Parameters:
  ///   - reference: a model with the same tokenizer, as a rule the same one before quantisation.
  ///   - batchSize: questions that go through the models together.
  ///   - progress: gets the number of questions read so far.
  /// - Throws: ``SampleError`` when a question cannot be told from its answer.
  /// - Precondition: both models have one vocabulary.
  public init(
    of model: VisionLanguageModel, from reference: VisionLanguageModel,
    _ questions: [EvaluationQuestion], batchSize: Int = 64, progress: (Int) -> Void = { _ in }
  ) throws {
    var (sum, tokens) = (0.0, 0)
    for start in stride(from: 0, to: questions.count, by: batchSize) {
      let part = questions[start..<min(questions.count, start + batchSize)]
      let examples = try part.enumerated().map { index, question in
        try TrainingExample(question.sample(number: start + index), for: model)
      }
      let batch = Batch(examples, for: model)
      let learned = batch.spliced.nextTokens.indices.filter { batch.spliced.nextTokens[$0] >= 0 }
      let losses = withoutGradients {
        var request = VocabularyLossRequest()
        request.divergenceWeights = Tensor.zeros([learned.count], on: model.device)
        return vocabularyLoss(
          model.head(batch, rows: learned), teacher: reference.head(batch, rows: learned), request)
      }
      sum += (losses.divergence?.array() ?? []).reduce(0) { $0 + Double($1) }
      tokens += learned.count
      progress(start + part.count)
    }
    self.kl = tokens == 0 ? 0 : sum / Double(tokens)
    self.tokens = tokens
  }
}

extension EvaluationQuestion {
  fileprivate func sample(number: Int) -> TrainingSample {
    let turns = VisionLanguageModel.conversation(
      earlier + [Turn(question: question, answer: answer)], withPicture: picture != nil)
    return TrainingSample(id: "question \(number)", turns: turns, picture: picture)
  }
}

extension VisionLanguageModel {
  /// Final rows of a batch, those that are named, with the matrix that makes logits of them.
  fileprivate func head(_ batch: Batch, rows: [Int]) -> VocabularyHead {
    let images = batch.pictures.isEmpty ? nil : imageRows(batch.pictures)
    let x = batch.spliced.rows(decoder.embedding, images: images)  // [T, D]
    let final = decoder(x, SequenceLayout(batch.spliced.segments, on: device))
    return decoder.vocabularyHead(gatherRows(final, Tensor(indices: rows, on: device)))
  }
}

extension VisionLanguageModel {
  /// This model, found to have the tokens and the pictures of `model`.
  /// - Throws: ``ConfigurationError`` when its vocabulary or its rows of a picture differ.
  public func checkedAsReference(of model: VisionLanguageModel) throws -> VisionLanguageModel {
    let (own, other) = (configuration, model.configuration)
    guard own.text.vocabularySize == other.text.vocabularySize else {
      throw own.source.wrong(
        "vocab_size", expected: "\(other.text.vocabularySize), as of the model that is compared")
    }
    guard own.vision.tokens == other.vision.tokens else {
      throw ConfigurationError.wrong(
        file: own.source.file, key: "vision_config",
        expected: "\(other.vision.tokens) rows of a picture, as of the model that is compared",
        found: "\(own.vision.tokens)")
    }
    return self
  }
}
