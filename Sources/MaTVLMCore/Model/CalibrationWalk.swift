import MaTVLMMamba
import MaTVLMTensor

/// Samples on their way through a teacher's decoder, block by block: what each block's attention takes
/// and makes is there when it is asked for, and never that of two blocks at once.
struct CalibrationWalk {
  /// Sequences that go through the model together.
  private static let batchSize = 4
  /// One sample of so many is held back.
  private static let heldBackShare = 8

  private struct Stream {
    /// [T, D]
    var rows: Tensor
    let layout: SequenceLayout
    let isHeldBack: Bool
  }

  private let blocks: [DecoderBlock]
  private var streams: [Stream] = []
  /// The block that the streams are in front of.
  private var position = 0

  /// Draws the samples and reads them.
  ///
  /// - Throws: ``SampleError`` for a broken sample that is not to be skipped, ``CalibrationError``
  ///   when too few are left, and what `report` throws.
  init(
    _ teacher: VisionLanguageModel, _ data: any TrainingData, _ calibration: Calibration,
    seed: UInt64, _ report: (CalibrationEvent) throws -> Void
  ) throws {
    blocks = teacher.decoder.blocks
    let examples = try Self.draw(teacher, data, calibration, seed: seed, report)
    guard examples.count > 1 else {
      throw CalibrationError.tooFewSamples(usable: examples.count)
    }
    let fitted = examples.count - max(1, examples.count / Self.heldBackShare)
    for (part, isHeldBack) in [(examples[..<fitted], false), (examples[fitted...], true)] {
      for start in stride(from: part.startIndex, to: part.endIndex, by: Self.batchSize) {
        let end = min(part.endIndex, start + Self.batchSize)
        let batch = Batch(
          Array(part[start..<end]), for: teacher, maximumLength: calibration.maximumLength)
        streams.append(Self.stream(batch, teacher, isHeldBack: isHeldBack))
      }
    }
  }

  /// What the attention of a block takes and makes.
  /// - Precondition: it is not before a block that was asked for earlier.
  mutating func examples(of layer: Int) -> (fitted: [MixerExample], heldBack: [MixerExample]) {
    require(layer >= position, "CalibrationWalk: block \(layer) after block \(position)")
    return withoutGradients {
      while position < layer {
        for index in streams.indices {
          streams[index].rows = blocks[position](streams[index].rows, streams[index].layout)
        }
        position += 1
      }
      func examples(_ streams: [Stream]) -> [MixerExample] {
        streams.map { stream in
          let input = blocks[layer].norm(stream.rows)
          return MixerExample(
            input: input, output: blocks[layer].mixer(input, stream.layout), layout: stream.layout)
        }
      }
      return (
        examples(streams.filter { !$0.isHeldBack }), examples(streams.filter(\.isHeldBack))
      )
    }
  }

  /// As many usable samples as are asked for, each once, or as there are, or as have enough rows.
  private static func draw(
    _ teacher: VisionLanguageModel, _ data: any TrainingData, _ calibration: Calibration,
    seed: UInt64, _ report: (CalibrationEvent) throws -> Void
  ) throws -> [TrainingExample] {
    // Another order than training's, which has the seed itself.
    var generator = RandomGenerator(seed: seed).split(.max)
    var (examples, rows): ([TrainingExample], Int) = ([], 0)
    for index in generator.permutation(data.count) {
      if examples.count == calibration.samples || rows >= calibration.rows { break }
      do {
        let example = try TrainingExample(data.sample(index), for: teacher)
        examples.append(example)
        rows += Self.rows(of: example, teacher, calibration)
      } catch let error as SampleError where calibration.brokenSamples == .skip {
        try report(.skipped(error))
      }
    }
    return examples
  }

  private static func rows(
    of example: TrainingExample, _ teacher: VisionLanguageModel, _ calibration: Calibration
  ) -> Int {
    let picture = example.picture == nil ? 0 : teacher.configuration.vision.tokens - 1
    let limit = min(calibration.maximumLength ?? .max, teacher.configuration.maximumLength)
    return min(limit, example.ids.count + picture)
  }

  private static func stream(
    _ batch: Batch, _ teacher: VisionLanguageModel, isHeldBack: Bool
  ) -> Stream {
    withoutGradients {
      let images = batch.pictures.isEmpty ? nil : teacher.imageRows(batch.pictures)
      return Stream(
        rows: batch.spliced.rows(teacher.decoder.embedding, images: images),
        layout: SequenceLayout(batch.spliced.segments, on: teacher.device), isHeldBack: isHeldBack)
    }
  }
}
