import MaTVLMDistillation
import MaTVLMTensor

extension Trainer {
  /// Makes every update together with other processes, each of which has a trainer like this one: they
  /// share out its sequences and add up their gradients. The run stays the one that is configured.
  ///
  /// - Returns: what the run is.
  /// - Throws: ``CommunicatorError`` when the ranks are not about the same run, or an update has fewer
  ///   sequences than there are ranks; what ``identity()`` throws.
  /// - Precondition: no update was made.
  public mutating func join(_ ranks: any Communicator) throws -> RunIdentity {
    let sequences = stages.map(\.configuration.sequencesPerUpdate).min() ?? 0
    guard ranks.size <= sequences else {
      throw CommunicatorError.tooManyRanks(ranks.size, sequences: sequences)
    }
    self.ranks = ranks
    var identity = RunIdentity(facts: [:])
    let all = try ranks.gather {
      identity = try self.identity()
      return try agreement(identity)
    }
    for (rank, other) in all.enumerated() {
      if let difference = all[0].difference(to: other) {
        throw CommunicatorError.disagreement(rank: rank, difference: difference)
      }
    }
    return identity
  }

  /// Whether all ranks still have the same numbers. They compute the same, so a difference is a fault
  /// of a machine, or of machines that are not alike.
  /// - Throws: ``CommunicatorError/disagreement(rank:difference:)``.
  public func checkAgreement() throws {
    guard ranks.size > 1 else { return }
    let all = try ranks.gather { start }
    for (rank, other) in all.enumerated() where other != all[0] {
      throw CommunicatorError.disagreement(
        rank: rank,
        difference: "after update \(position.step) what trains is \(other) there, \(all[0]) here")
    }
  }

  /// Takes rank 0's place in the run, which that rank has read from a checkpoint.
  public mutating func takePlaceOfFirstRank() throws {
    guard ranks.size > 1 else { return }
    let state = try ranks.gather {
      TrainingCheckpoint(
        position: position, stage: stage.declared?.name,
        momentSteps: optimizer.moments.mapValues(\.step), logs: [:])
    }[0]
    guard state.position.step > 0 else { return }
    var restored = TrainingCheckpoint.Restored(state: state)
    for parameter in parameters(changedBefore: state.position.step) {
      restored.values.append((parameter, broadcast(parameter.value)))
      guard let step = state.momentSteps[parameter.name] else { continue }
      let own = optimizer.moments[parameter.name]
      restored.moments[parameter.name] = AdamW.Moments(
        first: broadcast(own?.first ?? parameter.value),
        second: broadcast(own?.second ?? parameter.value), step: step)
    }
    if ranks.rank > 0 { restore(restored) }
  }

  /// Rank 0's values, in this one's extent.
  private func broadcast(_ tensor: Tensor) -> Tensor {
    let values = ranks.broadcast(ranks.rank == 0 ? tensor.array() : [])
    return Tensor(values, tensor.shape, on: tensor.device)
  }
}

extension Trainer {
  /// What a rank's batches came to, beside gradients.
  private struct Part: Codable {
    let losses: LossSums
    let rows: Int
    let hasPictures: Bool
    /// Places of trained parameters that have a gradient beside those that are being exchanged.
    let reached: Set<Int>
    /// Those, in the order in which they came.
    let exchanged: [Int]
  }

  /// What decides which gradients a batch has.
  private enum BatchKind: String, Codable {
    case none, text, pictures

    init(_ batch: Batch?) {
      self = batch.map { $0.pictures.isEmpty ? .text : .pictures } ?? .none
    }
  }

  /// What is given an update's gradients as they are finished by the pass over its last batch. Nil where
  /// they are added up afterwards: one rank needs no other, and ranks whose batches are not of one kind
  /// do not have the same gradients.
  ///
  /// - Parameter earlier: the gradients of the batches before; they are moved into the exchange.
  func makeExchange(
    _ batch: Batch?, adding earlier: inout Gradients
  ) throws -> GradientExchange? {
    guard ranks.size > 1 else { return nil }
    let kinds = Set(try ranks.gather { BatchKind(batch) })
    guard kinds.count == 1, kinds != [.none] else { return nil }
    return GradientExchange(over: ranks, adding: &earlier)
  }

  /// What the parts of all ranks add up to. Losses are weighted for the whole update from the start, so
  /// that sums are all it takes.
  func added(_ own: Accumulation) throws -> Accumulation {
    guard ranks.size > 1 else { return own }
    var sum = own
    if let exchange = own.exchange { sum.gradients += exchange.earlier }
    let parts = try ranks.gather {
      Part(
        losses: own.losses, rows: own.rows, hasPictures: own.hasPictures,
        reached: Set(task.trained.indices.filter { sum.gradients[task.trained[$0]] != nil }),
        exchanged: own.exchange?.order(among: task.trained) ?? [])
    }
    for (rank, part) in parts.enumerated() where part.exchanged != parts[0].exchanged {
      throw CommunicatorError.disagreement(
        rank: rank, difference: "its gradients are others, or came in another order")
    }
    sum.losses = LossSums()
    for part in parts { sum.losses += part.losses }
    sum.rows = parts.reduce(0) { $0 + $1.rows }
    sum.hasPictures = parts.contains(where: \.hasPictures)
    let reached = parts.reduce(into: Set()) { $0.formUnion($1.reached) }.sorted()
      .map { task.trained[$0] }
    let exchanged = own.exchange?.finish() ?? Gradients()
    sum.gradients.add(over: ranks, reached)
    sum.gradients += exchanged
    return sum
  }

  /// What an evaluation came to on all ranks.
  func added(_ losses: LossSums, _ sequences: Int) throws -> (LossSums, Int) {
    struct Part: Codable {
      let losses: LossSums
      let sequences: Int
    }
    var (sum, count) = (LossSums(), 0)
    for part in try ranks.gather({ Part(losses: losses, sequences: sequences) }) {
      sum += part.losses
      count += part.sequences
    }
    return (sum, count)
  }
}
