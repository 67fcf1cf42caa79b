import MaTVLMImages
import MaTVLMTensor
import MaTVLMText

/// A sample as a model reads it.
package struct TrainingExample: Sendable {
  package let id: String
  /// −200 where the picture stands.
  package let ids: [Int]
  /// −100 where nothing is to be learned.
  package let labels: [Int]
  package let picture: RGBImage?

  /// - Throws: ``SampleError`` when the picture and the placeholders do not match, or labels cannot
  ///   be told from the prompt.
  package init(_ sample: TrainingSample, for model: VisionLanguageModel) throws {
    let template = PromptTemplate.phi
    let text = template.trainingText(sample.turns)
    let ids = template.encode(text, with: model.tokenizer)
    do {
      labels = try template.labels(for: text, ids: ids, tokenizer: model.tokenizer)
    } catch {
      throw SampleError(id: sample.id, reason: "\(error)")
    }
    let placeholders = ids.count { $0 == PromptTemplate.imageTokenID }
    guard placeholders == (sample.picture == nil ? 0 : 1) else {
      let pictures = sample.picture == nil ? "no picture" : "one picture"
      throw SampleError(id: sample.id, reason: "\(placeholders) <image> and \(pictures)")
    }
    id = sample.id
    self.ids = ids
    picture = sample.picture
  }
}

/// Examples that go through the model together, packed end to end.
package struct Batch: Sendable {
  package let spliced: SplicedSequences
  package let pictures: [RGBImage]
  package let ids: [String]
  /// What the student drops while it learns from this batch.
  package var dropout: BlockDropout?

  package init(spliced: SplicedSequences, pictures: [RGBImage], ids: [String]) {
    (self.spliced, self.pictures, self.ids) = (spliced, pictures, ids)
  }

  /// - Parameter maximumLength: rows of a sequence at most; never more than the model takes.
  package init(
    _ examples: [TrainingExample], for model: VisionLanguageModel, maximumLength: Int? = nil
  ) {
    let limit = min(maximumLength ?? .max, model.configuration.maximumLength)
    // The authors cut twice: ids before pictures are put in, and rows after (specification A.10).
    spliced = model.splice(
      examples.map { Array($0.ids.prefix(limit)) },
      labels: examples.map { Array($0.labels.prefix(limit)) }, maximumLength: limit)
    pictures = examples.filter { $0.ids.prefix(limit).contains(PromptTemplate.imageTokenID) }
      .compactMap(\.picture)
    ids = examples.map(\.id)
  }
}
