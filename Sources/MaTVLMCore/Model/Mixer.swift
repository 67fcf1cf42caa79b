import MaTVLMMamba
import MaTVLMTensor
import MaTVLMTransformer

/// What moves information between the rows of a decoder block.
public enum Mixer: Layer {
  case attention(PhiAttention)
  case mamba(Mamba2Mixer)

  /// Whole sequences: x [T, D] → [T, D].
  func callAsFunction(_ x: Tensor, _ layout: SequenceLayout) -> Tensor {
    switch self {
    case .attention(let attention): attention(x, layout)
    case .mamba(let mamba): mamba(x, layout)
    }
  }

  /// The layers that read the block's normed rows.
  var inputProjections: [Projection] {
    switch self {
    case .attention(let attention): attention.inputProjections
    case .mamba(let mamba): [mamba.inputProjection.projection]
    }
  }

  /// The layer that writes to the block's stream.
  var outputProjection: Projection {
    switch self {
    case .attention(let attention): attention.output.projection
    case .mamba(let mamba): mamba.outputProjection.projection
    }
  }

  /// Whole sequences: what the input projections made → what the output projection takes.
  func mix(_ projected: [Tensor], _ layout: SequenceLayout) -> Tensor {
    switch self {
    case .attention(let attention): attention.attend(projected, layout)
    case .mamba(let mamba): mamba.mix(projected[0], layout)
    }
  }

  /// Sequences that go on, with one state for each segment: what this adds to the block's stream,
  /// and what `terms` add, from what the input projections made.
  func add(
    to stream: Tensor, _ projected: [Tensor], _ layout: SequenceLayout,
    states: inout [MixerState], beside terms: [LinearTerm]
  ) -> Tensor {
    switch self {
    case .attention(let attention):
      var caches = states.map(\.keyValues)
      defer { states = caches.map(MixerState.keyValues) }
      return stream.backend.addAttention(
        to: stream, attention.appending(projected, layout, caches: &caches), outputProjection,
        beside: terms)
    case .mamba(let mamba):
      let continuing = mamba.continuing(projected[0], layout, states: states.map(\.recurrent))
      return stream.backend.addMixer(to: stream, continuing, outputProjection, beside: terms)
    }
  }

  /// The state before the first row, or after some that left only zeros.
  func makeState(
    capacity: Int, zeroRows: Int, _ cacheType: DType?, on device: Device
  ) -> MixerState {
    switch self {
    case .attention(let attention):
      .keyValues(
        attention.makeCache(capacity: capacity, zeroRows: zeroRows, cacheType, on: device))
    case .mamba(let mamba): .recurrent(Mamba2State(mamba.configuration, on: device))
    }
  }

  public var parameters: [Parameter] {
    switch self {
    case .attention(let attention): attention.parameters
    case .mamba(let mamba): mamba.parameters
    }
  }
}

/// What one sequence leaves behind in one mixer.
public enum MixerState: Sendable {
  /// Grows with the sequence.
  case keyValues(KeyValueCache)
  /// The same size however long the sequence is.
  case recurrent(Mamba2State)

  /// Bytes of device memory held.
  public var byteCount: Int {
    switch self {
    case .keyValues(let cache): cache.byteCount
    case .recurrent(let state): state.byteCount
    }
  }

  /// A state of the same values that shares nothing with this one.
  public func copy() -> MixerState {
    switch self {
    case .keyValues(let cache): .keyValues(cache.copy())
    case .recurrent(let state): .recurrent(state.copy())
    }
  }

  /// Rows that fit in all; nil: as many as one likes.
  var capacity: Int? {
    switch self {
    case .keyValues(let cache): cache.capacity
    case .recurrent: nil
    }
  }

  /// Makes room for as many more rows.
  mutating func reserve(_ rows: Int) {
    guard case .keyValues(var cache) = self else { return }
    cache.reserve(rows)
    self = .keyValues(cache)
  }

  /// This state after recorded work has added a row to it.
  func advanced() -> MixerState {
    switch self {
    case .keyValues(var cache):
      cache.advance(1)
      return .keyValues(cache)
    case .recurrent: return self
    }
  }

  fileprivate var keyValues: KeyValueCache {
    guard case .keyValues(let cache) = self else {
      fatalError("decoding: the state of a Mamba-2 mixer given to attention")
    }
    return cache
  }

  fileprivate var recurrent: Mamba2State {
    guard case .recurrent(let state) = self else {
      fatalError("decoding: the state of an attention layer given to a Mamba-2 mixer")
    }
    return state
  }
}
