import MaTVLMDistillation
import MaTVLMTensor

/// What a run learns: which parameters change, and the gradient that changes them.
package protocol TrainingTask: Sendable {
  /// The model that learns.
  var student: VisionLanguageModel { get }
  /// The models whose files the run reads, by the part that they play.
  var models: [(name: String, model: VisionLanguageModel)] { get }
  /// What changes; everything else is frozen.
  var trained: [Parameter] { get }
  /// Weights the unweighted losses of a log line.
  var objective: DistillationObjective { get }

  /// The gradient of the batch's part of an update, and what its sequences lost.
  ///
  /// - Parameter sequences: sequences of the whole update, over which the loss is a mean.
  func lossGradients(_ batch: Batch, sequences: Int) -> (Gradients, LossSums)

  /// What the batch's sequences lose, without gradients.
  func losses(_ batch: Batch) -> LossSums
}

extension TrainingTask {
  /// Names of what only pictures reach.
  package var reachedByPictures: Set<String> {
    Set((student.tower.parameters + student.connector.parameters).map(\.name))
  }
}

/// Distillation in one stage (arXiv:2503.13440, section 3.3): the replaced mixers learn their layer's
/// attention from the teacher's own inputs, and the whole student learns the teacher's distributions.
package struct DistillationTask: TrainingTask {
  package let teacher: VisionLanguageModel
  package let student: VisionLanguageModel
  package let objective: DistillationObjective
  let recompute: Bool
  package let trained: [Parameter]
  private let features: PictureFeatures

  /// - Parameter visionCache: where features of pictures are kept; nil: nowhere.
  package init(
    teacher: VisionLanguageModel, student: VisionLanguageModel, _ objective: DistillationObjective,
    recompute: Bool, visionCache: VisionCache? = nil
  ) {
    features = PictureFeatures(visionCache)
    (self.teacher, self.student, self.objective) = (teacher, student, objective)
    self.recompute = recompute
    // Only the whole student's losses reach the connector.
    let isWhole = objective.logitWeight > 0 || objective.labelWeight > 0
    let connector = Set(student.connector.parameters.map(\.name))
    trained = student.distilledParameters.filter { isWhole || !connector.contains($0.name) }
    for parameter in trained { parameter.isTrainable = true }
  }

  package var models: [(name: String, model: VisionLanguageModel)] {
    // A student that was made of its teacher has no files of its own.
    let own = student.tower.isShared(with: teacher.tower) ? [] : [("student", student)]
    return [("teacher", teacher)] + own
  }

  package func lossGradients(_ batch: Batch, sequences: Int) -> (Gradients, LossSums) {
    let (recorded, features) = teach(batch)
    var total = Gradients()
    var sums = LossSums()
    // Local, so that each layer's activations are gone before the next one's come.
    for layer in student.decoder.mambaLayers {
      let loss = layerLoss(layer, recorded, batch, sequences: sequences)
      sums.layer += loss.sum
      if objective.layerWeight > 0 { total += gradients(of: loss.total) }
    }
    let loss = logitLoss(
      batch, recorded, studentRows(batch, recorded, features), sequences: sequences)
    sums.logits = loss.divergenceSum
    sums.labels = loss.labelSum
    if objective.logitWeight > 0 || objective.labelWeight > 0 { total += gradients(of: loss.total) }
    return (total, sums)
  }

  package func losses(_ batch: Batch) -> LossSums {
    withoutGradients {
      let (recorded, features) = teach(batch)
      var sums = LossSums()
      for layer in student.decoder.mambaLayers {
        sums.layer += layerLoss(layer, recorded, batch, sequences: 1).sum
      }
      let rows = studentRows(batch, recorded, features)
      let loss = logitLoss(batch, recorded, rows, sequences: 1)
      sums.logits = loss.divergenceSum
      sums.labels = loss.labelSum
      sums.count(rows, batch, student.decoder)
      return sums
    }
  }

  /// What the teacher makes of a batch.
  private struct Recorded {
    let layout: SequenceLayout
    let rows: Tensor
    let mixers: [Int: HybridDecoder.MixerRecord]
  }

  private func teach(_ batch: Batch) -> (Recorded, features: Tensor?) {
    withoutGradients {
      let layout = SequenceLayout(batch.spliced.segments, on: teacher.device)
      let features = batch.pictures.isEmpty ? nil : features(of: batch.pictures, teacher)
      let x = batch.spliced.rows(
        teacher.decoder.embedding, images: features.map { teacher.connector($0) })
      let (rows, mixers) = teacher.decoder.recordingMixers(
        x, layout, of: Set(student.decoder.mambaLayers))
      return (Recorded(layout: layout, rows: rows, mixers: mixers), features)
    }
  }

  private func layerLoss(
    _ layer: Int, _ recorded: Recorded, _ batch: Batch, sequences: Int
  ) -> LayerLoss {
    guard let record = recorded.mixers[layer] else {
      fatalError("distillation: the teacher recorded nothing of layer \(layer)")
    }
    let output = student.decoder.blocks[layer].mixer(record.input, recorded.layout)
    return LayerLoss(
      output, record.output, batch.spliced.segments, objective, sequences: sequences)
  }

  private func studentRows(_ batch: Batch, _ recorded: Recorded, _ features: Tensor?) -> Tensor {
    // One tower as a rule; a student that was read from a folder of its own has its own.
    let own =
      student.tower.isShared(with: teacher.tower)
      ? features
      : features.map { _ in
        withoutGradients { self.features(of: batch.pictures, student) }
      }
    let x = batch.spliced.rows(
      student.decoder.embedding, images: own.map { student.connector($0) })
    return student.decoder(x, recorded.layout, recompute: recompute)
  }

  private func logitLoss(
    _ batch: Batch, _ recorded: Recorded, _ rows: Tensor, sequences: Int
  ) -> LogitLoss {
    LogitLoss(
      student.decoder.vocabularyHead(rows),
      teacher: teacher.decoder.vocabularyHead(recorded.rows),
      labels: batch.spliced.nextTokens, batch.spliced.segments, objective, sequences: sequences)
  }
}

/// Training of a whole model on the tokens of answers: how a teacher comes to be.
struct PretrainingTask: TrainingTask {
  let student: VisionLanguageModel
  let objective: DistillationObjective
  let recompute: Bool
  let trained: [Parameter]

  init(_ model: VisionLanguageModel, recompute: Bool) {
    student = model
    self.recompute = recompute
    var objective = DistillationObjective()
    (objective.layerWeight, objective.logitWeight, objective.labelWeight) = (0, 0, 1)
    self.objective = objective
    trained = model.parameters
    for parameter in trained { parameter.isTrainable = true }
  }

  var models: [(name: String, model: VisionLanguageModel)] { [("model", student)] }

  func lossGradients(_ batch: Batch, sequences: Int) -> (Gradients, LossSums) {
    let loss = loss(batch, finalRows(batch), sequences: sequences)
    var sums = LossSums()
    sums.labels = loss.labelSum
    return (gradients(of: loss.total), sums)
  }

  func losses(_ batch: Batch) -> LossSums {
    withoutGradients {
      let rows = finalRows(batch)
      var sums = LossSums()
      sums.labels = loss(batch, rows, sequences: 1).labelSum
      sums.count(rows, batch, student.decoder)
      return sums
    }
  }

  private func finalRows(_ batch: Batch) -> Tensor {
    let images = batch.pictures.isEmpty ? nil : student.imageRows(batch.pictures)
    let x = batch.spliced.rows(student.decoder.embedding, images: images)
    let layout = SequenceLayout(batch.spliced.segments, on: student.device)
    return student.decoder(x, layout, recompute: recompute)
  }

  private func loss(_ batch: Batch, _ rows: Tensor, sequences: Int) -> LogitLoss {
    LogitLoss(
      student.decoder.vocabularyHead(rows), teacher: nil, labels: batch.spliced.nextTokens,
      batch.spliced.segments, objective, sequences: sequences)
  }
}
