import MaTVLMTensor

/// Causal self-attention of Phi-2: biases everywhere, rotary positions in part of each head.
public struct PhiAttention: Layer {
  public let query: Linear
  public let key: Linear
  public let value: Linear
  public let output: Linear
  private let rotary: RotaryEmbedding
  private let geometry: AttentionGeometry

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

  /// Whole sequences: x [T, D] → [T, D].
  public func callAsFunction(_ x: Tensor, _ layout: SequenceLayout) -> Tensor {
    let (q, k, v) = project(x, layout)
    return output(attention(q, k, v, geometry, layout.segments))
  }

  /// Sequences that go on: keys and values of x [T, D] are added to one cache for each segment.
  public func callAsFunction(
    _ x: Tensor, _ layout: SequenceLayout, caches: inout [KeyValueCache]
  ) -> Tensor {
    let (q, k, v) = project(x, layout)
    for index in caches.indices { caches[index].reserve(layout.segments.lengths[index]) }
    let backend = x.backend
    let (keys, values) = (caches.map(\.keys), caches.map(\.values))
    backend.appendRows(k, to: keys, positions: layout.positions, layout.segments)
    backend.appendRows(v, to: values, positions: layout.positions, layout.segments)
    for index in caches.indices { caches[index].advance(layout.segments.lengths[index]) }
    return output(
      backend.cachedAttention(
        q, keys: keys, values: values, positions: layout.positions, geometry, layout.segments))
  }

  /// An empty cache of one sequence, with room for `capacity` rows.
  public func makeCache(capacity: Int, on device: Device) -> KeyValueCache {
    KeyValueCache(width: key.weight.shape.rows, capacity: capacity, on: device)
  }

  private func project(_ x: Tensor, _ layout: SequenceLayout) -> (q: Tensor, k: Tensor, v: Tensor) {
    let table = rotary.table(positions: layout.longest)
    let projected = Linear.all([query, key, value], x)
    let q = rotate(projected[0], table, positions: layout.positions, heads: geometry.heads)
    let k = rotate(projected[1], table, positions: layout.positions, heads: geometry.keyValueHeads)
    return (q, k, projected[2])  // q [T, H·P], k and v [T, G·P]
  }

  public var parameters: [Parameter] {
    query.parameters + key.parameters + value.parameters + output.parameters
  }
}
