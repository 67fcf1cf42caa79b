import MaTVLMTensor

/// Reads one token of each of some sequences, again and again.
///
/// A GPU's work is over sooner than the host can ask for it kernel by kernel, so a device that can
/// record work is shown the step once and repeats it: tokens and positions lie on the device at
/// fixed places, and between steps only these are written.
package struct DecodingStep {
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
  /// - Returns: the logits that follow, float32 [S, V]; they hold until the next call.
  package mutating func callAsFunction(
    _ ids: [Int], states: inout [DecodingState]
  ) -> Tensor {
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
      return logits(&states, past: furthest)
    }
    if recorded == nil {
      var shown = states
      recorded = tokens.backend.record { [logits(&shown, past: furthest)] }.map { ($0, room) }
    }
    guard let work = recorded?.work else { return logits(&states, past: reached) }
    work.replay()
    for index in states.indices { states[index].advance() }
    return work.outputs[0]
  }

  /// The step itself.
  /// - Parameter past: the most rows that any sequence has seen.
  private func logits(_ states: inout [DecodingState], past: Int) -> Tensor {
    let layout = SequenceLayout(
      segments, positions: positions, past: Array(repeating: past, count: segments.count))
    let x = decoder.embedding(tokens)  // [S, D]
    let logits = decoder.head(decoder(x, layout, states: &states))  // [S, V]
    return logits.dtype == .float32 ? logits : logits.backend.convert(logits, to: .float32)
  }

  private func write(_ values: [Int], to tensor: Tensor) {
    values.map { Int32($0) }.withUnsafeBytes {
      tensor.backend.write($0, to: tensor.storage.memory, at: 0)
    }
  }
}
