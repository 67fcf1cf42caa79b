import MaTVLMTensor

/// One layer of SigLIP: attention, then MLP, each after its own norm and added to what came in.
struct VisionBlock: Layer {
  private let norm1: LayerNorm
  private let query: Linear
  private let key: Linear
  private let value: Linear
  private let output: Linear
  private let norm2: LayerNorm
  private let mlp: MLP
  private let geometry: AttentionGeometry

  init(_ source: ParameterSource, _ configuration: VisionConfiguration) throws {
    let width = configuration.hiddenSize
    let projections = source["self_attn"]
    norm1 = try LayerNorm(
      source["layer_norm1"], width: width, epsilon: configuration.layerNormEpsilon)
    query = try Linear(projections["q_proj"], inputs: width, outputs: width)
    key = try Linear(projections["k_proj"], inputs: width, outputs: width)
    value = try Linear(projections["v_proj"], inputs: width, outputs: width)
    output = try Linear(projections["out_proj"], inputs: width, outputs: width)
    norm2 = try LayerNorm(
      source["layer_norm2"], width: width, epsilon: configuration.layerNormEpsilon)
    mlp = try MLP(
      source["mlp"], width: width, intermediate: configuration.intermediateSize,
      activation: configuration.activation)
    let headWidth = width / configuration.heads
    geometry = AttentionGeometry(
      heads: configuration.heads, keyValueHeads: configuration.heads, headWidth: headWidth,
      scale: 1 / Float(headWidth).squareRoot(), isCausal: false)
  }

  /// x [T, D], one segment for each picture → [T, D]
  func callAsFunction(_ x: Tensor, _ pictures: Segments) -> Tensor {
    let projected = linear(norm1(x), [query, key, value].map(\.projection))
    let mixed = attention(projected[0], projected[1], projected[2], geometry, pictures)
    let h = addLinear(x, [LinearTerm(mixed, output.projection)])
    let hidden = linear(norm2(h), [mlp.hiddenProjection])[0]
    return addLinear(h, [LinearTerm(hidden, mlp.fc2.projection)])
  }

  var parameters: [Parameter] {
    norm1.parameters + key.parameters + value.parameters + query.parameters + output.parameters
      + norm2.parameters + mlp.parameters
  }
}
