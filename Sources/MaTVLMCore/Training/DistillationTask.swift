import MaTVLMDistillation
import MaTVLMTensor

/// Distillation (arXiv:2503.13440, section 3.3): the replaced mixers learn their layer's attention
/// from the teacher's own inputs, and the whole student learns the teacher's distributions.
package struct DistillationTask: TrainingTask {
  package let teacher: VisionLanguageModel
  package let student: VisionLanguageModel
  package let objective: DistillationObjective
  let recompute: Bool
  package let trained: [Parameter]
  /// Whether batches that are learned from may have pictures.
  private let hasPictures: Bool
  private let features: PictureFeatures

  /// The paper's: mixers and connector train, as far as the losses reach them.
  ///
  /// - Parameters:
  ///   - hasPictures: whether batches may have some; without them nothing reaches the connector.
  ///   - visionCache: where features of pictures are kept; nil: nowhere.
  package init(
    teacher: VisionLanguageModel, student: VisionLanguageModel, _ objective: DistillationObjective,
    recompute: Bool, hasPictures: Bool = true, visionCache: VisionCache? = nil
  ) {
    let connector = hasPictures ? [] : student.connector.parameters
    let reached = objective.reached(in: student).filter { own in
      !connector.contains { $0 === own }
    }
    let trained = student.distilledParameters.filter { own in reached.contains { $0 === own } }
    for parameter in trained { parameter.isTrainable = true }
    self.init(
      teacher: teacher, student: student, objective, recompute: recompute,
      hasPictures: hasPictures, visionCache: visionCache, training: trained)
  }

  /// - Parameter trained: what is to be trainable when gradients are asked for.
  init(
    teacher: VisionLanguageModel, student: VisionLanguageModel, _ objective: DistillationObjective,
    recompute: Bool, hasPictures: Bool = true, visionCache: VisionCache? = nil,
    training trained: [Parameter]
  ) {
    self.hasPictures = hasPictures
    features = PictureFeatures(visionCache)
    (self.teacher, self.student, self.objective) = (teacher, student, objective)
    (self.recompute, self.trained) = (recompute, trained)
  }

  package var models: [(name: String, model: VisionLanguageModel)] {
    // A student that was made of its teacher has no files of its own.
    let own = student.tower.isShared(with: teacher.tower) ? [] : [("student", student)]
    return [("teacher", teacher)] + own
  }

  package func lossGradients(
    _ batch: Batch, sequences: Int, handingTo exchange: GradientExchange?
  ) -> (Gradients, LossSums) {
    let (recorded, features) = teach(batch)
    var total = Gradients()
    var sums = LossSums()
    // The whole student adds to what the layers' distances give.
    let layerExchange = objective.isLayerLocal ? exchange : nil
    let first = firstMixer(batch, recorded)
    var firstTotal: Tensor?
    // Local, so that each layer's activations are gone before the next one's come.
    for layer in student.decoder.mambaLayers {
      let loss = layerLoss(layer, recorded, batch, first, sequences: sequences)
      sums.layer += loss.sum
      guard objective.layerWeight > 0 else { continue }
      if layer == first?.layer {
        firstTotal = loss.total
      } else {
        total.add(of: loss.total, handingTo: layerExchange)
      }
    }
    if objective.isLayerLocal { return (total, sums) }
    let loss = logitLoss(
      batch, recorded, studentRows(batch, recorded, features, first), sequences: sequences)
    sums.logits = loss.divergenceSum
    sums.labels = loss.labelSum
    total.add(of: firstTotal.map { loss.total + $0 } ?? loss.total, handingTo: exchange)
    return (total, sums)
  }

  package func losses(_ batch: Batch) -> LossSums {
    withoutGradients {
      let (recorded, features) = teach(batch)
      let first = firstMixer(batch, recorded)
      var sums = LossSums()
      for layer in student.decoder.mambaLayers {
        sums.layer += layerLoss(layer, recorded, batch, first, sequences: 1).sum
      }
      let rows = studentRows(batch, recorded, features, first)
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
      let target: HybridDecoder.MixerTarget =
        switch objective.layerComparison {
        // The MLP cancels unless the student drops some of it.
        case .output: batch.dropout == nil ? .output : .branches
        case .heads: .heads
        case .matrix: .output
        }
      let (rows, mixers) = teacher.decoder.recordingMixers(
        x, layout, of: Set(student.decoder.mambaLayers), target)
      return (Recorded(layout: layout, rows: rows, mixers: mixers), features)
    }
  }

  /// What the first replaced mixer makes of rows that are the teacher's and the student's.
  private struct FirstMixer {
    let layer: Int
    let output: Tensor
  }

  /// In a run without pictures nothing before the first replaced mixer trains: the student comes to
  /// the same rows as the teacher there, and the mixer runs once for the layer's distance and for the
  /// whole student. nil where it does not, or where the losses need other things of it. A batch that
  /// happens to have no picture does not count, or ranks and rounds that divide samples otherwise
  /// would come to other last digits.
  private func firstMixer(_ batch: Batch, _ recorded: Recorded) -> FirstMixer? {
    guard !objective.isLayerLocal, objective.layerComparison == .output, batch.dropout == nil,
      !hasPictures, batch.pictures.isEmpty, let layer = student.decoder.mambaLayers.first,
      student.decoder.isShared(with: teacher.decoder, toMixer: layer),
      let input = recorded.mixers[layer]?.input
    else { return nil }
    let mixer = student.decoder.blocks[layer].mixer
    @Sendable func run(_ x: Tensor) -> Tensor { mixer(x, recorded.layout) }
    let output = recompute ? recomputing(input, mixer.parameters, run) : run(input)
    return FirstMixer(layer: layer, output: output)
  }

  private func layerLoss(
    _ layer: Int, _ recorded: Recorded, _ batch: Batch, _ first: FirstMixer?, sequences: Int
  ) -> LayerLoss {
    guard let record = recorded.mixers[layer],
      case .mamba(let mixer) = student.decoder.blocks[layer].mixer
    else { fatalError("distillation: the teacher recorded nothing of layer \(layer)") }
    let (layout, segments) = (recorded.layout, batch.spliced.segments)
    let output: Tensor
    switch objective.layerComparison {
    case .matrix:
      guard case .attention(let attention) = teacher.decoder.blocks[layer].mixer else {
        fatalError("distillation: layer \(layer) of the teacher has no attention")
      }
      let scan = mixer.scanInputs(mixer.inputProjection(record.input), layout).inputs
      let (q, k) = withoutGradients {
        attention.rotated(linear(record.input, attention.inputProjections), layout)
      }
      return LayerLoss(
        ScanMatrices(scan, mixer.configuration.geometry),
        AttentionMatrices(query: q, key: k, attention.geometry), segments, objective,
        sequences: sequences)
    case .heads: output = mixer.mix(mixer.inputProjection(record.input), layout)
    case .output:
      let mixed = layer == first?.layer ? first!.output : mixer(record.input, layout)
      output =
        batch.dropout.map { dropout in
          let hidden = student.decoder.blocks[layer].mlp(record.input)
          return dropout(mixed, .taughtMixer, layer: layer, segments)
            + dropout(hidden, .taughtMLP, layer: layer, segments)
        } ?? mixed
    }
    return LayerLoss(output, record.target, segments, objective, sequences: sequences)
  }

  private func studentRows(
    _ batch: Batch, _ recorded: Recorded, _ features: Tensor?, _ first: FirstMixer?
  ) -> Tensor {
    if let first, let rest = recorded.mixers[first.layer]?.rest {
      return student.decoder(
        rest + first.output, recorded.layout, from: first.layer + 1, recompute: recompute)
    }
    // One tower as a rule; a student that was read from a folder of its own has its own.
    let own =
      student.tower.isShared(with: teacher.tower)
      ? features
      : features.map { _ in
        withoutGradients { self.features(of: batch.pictures, student) }
      }
    let x = batch.spliced.rows(
      student.decoder.embedding, images: own.map { student.connector($0) })
    return student.decoder(x, recorded.layout, recompute: recompute, dropout: batch.dropout)
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
