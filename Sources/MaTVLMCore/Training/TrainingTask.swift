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
  /// - Parameters:
  ///   - sequences: sequences of the whole update, over which the loss is a mean.
  ///   - exchange: is given gradients as they are finished; those are not among what is returned.
  func lossGradients(
    _ batch: Batch, sequences: Int, handingTo exchange: GradientExchange?
  ) -> (Gradients, LossSums)

  /// What the batch's sequences lose, without gradients.
  func losses(_ batch: Batch) -> LossSums
}

extension TrainingTask {
  /// The gradient of the batch's part of an update, all of it, and what its sequences lost.
  package func lossGradients(_ batch: Batch, sequences: Int) -> (Gradients, LossSums) {
    lossGradients(batch, sequences: sequences, handingTo: nil)
  }

  /// Names of what only pictures reach.
  package var reachedByPictures: Set<String> {
    Set((student.tower.parameters + student.connector.parameters).map(\.name))
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

  func lossGradients(
    _ batch: Batch, sequences: Int, handingTo exchange: GradientExchange?
  ) -> (Gradients, LossSums) {
    let loss = loss(batch, finalRows(batch), sequences: sequences)
    var sums = LossSums()
    sums.labels = loss.labelSum
    var total = Gradients()
    total.add(of: loss.total, handingTo: exchange)
    return (total, sums)
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
