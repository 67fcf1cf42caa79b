import MaTVLMTensor

/// Causal self-attention of Phi-2: biases everywhere, rotary positions in part of each head.
public struct PhiAttention: Layer {
  public let query: Linear
  public let key: Linear
  public let value: Linear
  public let output: Linear
  private let rotary: RotaryEmbedding
  package let geometry: AttentionGeometry

  /// Reads `q_proj`, `k_proj`, `v_proj` and `dense`.
  /// - Parameter rotary: shared by all layers of a decoder.
  /// - Throws: when a tensor is missing or has another shape.
  public init(
    _ source: ParameterSource, _ configuration: PhiConfiguration, rotary: RotaryEmbedding
  ) throws {
    let width = configuration.hiddenSize
    let narrow = configuration.keyValueHeads * configuration.headWidth
    query = try Linear(source["q_proj"], inputs: width, outputs: width)
    key = try Linear(source["k_proj"], inputs: width, outputs: narrow)
    value = try Linear(source["v_proj"], inputs: width, outputs: narrow)
    output = try Linear(source["dense"], inputs: width, outputs: width)
    self.rotary = rotary
    geometry = AttentionGeometry(
      heads: configuration.heads, keyValueHeads: configuration.keyValueHeads,
      headWidth: configuration.headWidth, scale: 1 / Float(configuration.headWidth).squareRoot(),
      isCausal: true)
  }

  /// The layers that read x [T, D]: query, key and value.
  public var inputProjections: [Projection] { [query, key, value].map(\.projection) }

  /// Whole sequences: x [T, D] → [T, D].
  public func callAsFunction(_ x: Tensor, _ layout: SequenceLayout) -> Tensor {
    output(attend(linear(x, inputProjections), layout))
  }

  /// Sequences that go on: keys and values of x [T, D] are added to one cache for each segment.
  public func callAsFunction(
    _ x: Tensor, _ layout: SequenceLayout, caches: inout [KeyValueCache]
  ) -> Tensor {
    let attention = appending(linear(x, inputProjections), layout, caches: &caches)
    return output(x.backend.attend(attention))
  }

  /// Whole sequences: what ``inputProjections`` made → what ``output`` takes, [T, H·P].
  public func attend(_ projected: [Tensor], _ layout: SequenceLayout) -> Tensor {
    let (q, k) = rotated(projected, layout)
    return attention(q, k, projected[2], geometry, layout.segments)
  }

  /// Query [T, H·P] and key [T, G·P] of whole sequences, turned by their positions, from what
  /// ``inputProjections`` made.
  package func rotated(_ projected: [Tensor], _ layout: SequenceLayout) -> (q: Tensor, k: Tensor) {
    let table = rotary.table(positions: layout.longest)
    return (
      rotate(projected[0], table, positions: layout.positions, heads: geometry.heads),
      rotate(projected[1], table, positions: layout.positions, heads: geometry.keyValueHeads)
    )
  }

  /// Sequences that go on: what ``inputProjections`` made, with keys and values that are added to
  /// one cache for each segment, which counts them from now on.
  package func appending(
    _ projected: [Tensor], _ layout: SequenceLayout, caches: inout [KeyValueCache]
  ) -> AppendingAttention {
    let lengths = layout.segments.lengths
    for index in caches.indices { caches[index].reserve(lengths[index]) }
    let rows = NewAttentionRows(
      query: projected[0], key: projected[1], value: projected[2],
      table: rotary.table(positions: layout.longest), positions: layout.positions)
    let attention = AppendingAttention(
      rows, keys: caches.map(\.keys), values: caches.map(\.values), geometry, layout.segments)
    for index in caches.indices { caches[index].advance(lengths[index]) }
    return attention
  }

  /// An empty cache of one sequence, with room for `capacity` rows.
  /// - Parameters:
  ///   - zeroRows: how many are in use already, all zero, for measurements.
  ///   - type: how keys and values are kept; nil: as the device's activations.
  /// - Precondition: the device has caches of this type.
  public func makeCache(
    capacity: Int, zeroRows: Int = 0, _ type: DType? = nil, on device: Device
  ) -> KeyValueCache {
    KeyValueCache(
      width: key.weight.shape.rows, capacity: capacity, zeroRows: zeroRows,
      type ?? device.backend.activationType, on: device)
  }

  public var parameters: [Parameter] {
    query.parameters + key.parameters + value.parameters + output.parameters
  }
}
