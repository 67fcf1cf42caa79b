import MaTVLMTensor

/// Reads one token of each of some sequences, again and again.
///
/// A GPU's work is over sooner than the host can ask for it kernel by kernel, so a device that can
/// record work is shown the step once and repeats it: tokens and positions lie on the device at
/// fixed places, and between steps only these are written.
package struct DecodingStep {
  /// What follows each sequence; it holds until the next step.
  package struct Prediction {
    /// [S, V], in the device's type of activations.
    package let logits: Tensor
    /// int32 [S]: the most likely token; −1 where a logit is not finite.
    package let mostLikely: Tensor
  }

  private let decoder: HybridDecoder
  private let segments: Segments
  /// int32 [S] each.
  private let tokens: Tensor
  private let positions: Tensor
  private var recorded: (work: any RecordedWork, room: Int)?
  private var isWarm = false

  /// - Parameter sequences: how many are decoded together, the same ones in every call.
  package init(_ decoder: HybridDecoder, sequences: Int) {
    let device = decoder.embedding.weight.value.device
    self.decoder = decoder
    segments = Segments(repeating: 1, count: sequences)
    tokens = Tensor(indices: Array(repeating: 0, count: sequences), on: device)
    positions = Tensor(indices: Array(repeating: 0, count: sequences), on: device)
  }

  /// - Parameters:
  ///   - ids: the newest token of each sequence.
  ///   - states: moved on by one row; the same storage as in the call before.
  package mutating func callAsFunction(
    _ ids: [Int], states: inout [DecodingState]
  ) -> Prediction {
    let room = states.compactMap(\.capacity).min() ?? .max
    let reached = states.map(\.position).max() ?? 0
    // Positions that the recorded step may come to: as far as caches have room.
    let furthest = room == .max ? reached : max(reached, room - 1)
    write(ids, to: tokens)
    write(states.map(\.position), to: positions)
    // A cache without room is copied to a larger one, which recorded work does not know.
    if reached >= room || recorded.map({ $0.room != room }) ?? false {
      recorded = nil
      isWarm = false
    }
    guard isWarm else {
      isWarm = reached < room
      return prediction(&states, past: furthest)
    }
    if recorded == nil {
      var shown = states
      let work = tokens.backend.record {
        let shown = prediction(&shown, past: furthest)
        return [shown.logits, shown.mostLikely]
      }
      recorded = work.map { ($0, room) }
    }
    guard let work = recorded?.work else { return prediction(&states, past: reached) }
    work.replay()
    for index in states.indices { states[index].advance() }
    return Prediction(logits: work.outputs[0], mostLikely: work.outputs[1])
  }

  /// The step itself.
  /// - Parameter past: the most rows that any sequence has seen.
  private func prediction(_ states: inout [DecodingState], past: Int) -> Prediction {
    let layout = SequenceLayout(
      segments, positions: positions, past: Array(repeating: past, count: segments.count))
    let x = decoder.embedding(tokens)  // [S, D]
    let logits = decoder.head(decoder(x, layout, states: &states))  // [S, V]
    return Prediction(logits: logits, mostLikely: logits.backend.argmaxRows(logits))
  }

  private func write(_ values: [Int], to tensor: Tensor) {
    values.map { Int32($0) }.withUnsafeBytes {
      tensor.backend.write($0, to: tensor.storage.memory, at: 0)
    }
  }
}
