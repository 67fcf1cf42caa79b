import MaTVLMTensor
import MaTVLMTransformer

/// x + mixer(norm(x)) + mlp(norm(x)): Phi's parallel block, with one norm.
public struct DecoderBlock: Layer {
  public let norm: LayerNorm
  public var mixer: Mixer
  public let mlp: MLP

  /// Whole sequences: x [T, D] → [T, D].
  package func callAsFunction(_ x: Tensor, _ layout: SequenceLayout) -> Tensor {
    let (mixing, hidden) = projected(x)
    return addLinear(
      x, [LinearTerm(mixer.mix(mixing, layout), mixer.outputProjection), hidden])
  }

  /// Whole sequences, as a student learns that drops some of what its branches add to the stream.
  func callAsFunction(
    _ x: Tensor, _ layout: SequenceLayout, _ dropout: BlockDropout, layer: Int
  ) -> Tensor {
    let n = norm(x)
    return x + dropout(mixer(n, layout), .mixer, layer: layer, layout.segments)
      + dropout(mlp(n), .mlp, layer: layer, layout.segments)
  }

  /// Sequences that go on: x [T, D] → [T, D].
  func callAsFunction(
    _ x: Tensor, _ layout: SequenceLayout, states: inout [MixerState]
  ) -> Tensor {
    let (mixing, hidden) = projected(x)
    return mixer.add(to: x, mixing, layout, states: &states, beside: [hidden])
  }

  /// Everything that reads the norm is asked for at once, and so is everything that is added to the
  /// stream: to a device that is two products, in between which the mixer moves information.
  private func projected(_ x: Tensor) -> (mixing: [Tensor], hidden: LinearTerm) {
    let projected = linear(norm(x), mixer.inputProjections + [mlp.hiddenProjection])
    return (Array(projected.dropLast()), LinearTerm(projected.last!, mlp.fc2.projection))
  }

  public var parameters: [Parameter] { norm.parameters + mixer.parameters + mlp.parameters }
}
