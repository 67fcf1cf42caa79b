import MaTVLMTensor
import MaTVLMTransformer

/// x + mixer(norm(x)) + mlp(norm(x)): Phi's parallel block, with one norm.
public struct DecoderBlock: Layer {
  public let norm: LayerNorm
  public var mixer: Mixer
  public let mlp: MLP

  /// Whole sequences: x [T, D] → [T, D].
  package func callAsFunction(_ x: Tensor, _ layout: SequenceLayout) -> Tensor {
    let n = norm(x)
    return x + mixer(n, layout) + mlp(n)
  }

  /// Sequences that go on: x [T, D] → [T, D].
  func callAsFunction(
    _ x: Tensor, _ layout: SequenceLayout, states: inout [MixerState]
  ) -> Tensor {
    let n = norm(x)
    return x + mixer(n, layout, states: &states) + mlp(n)
  }

  public var parameters: [Parameter] { norm.parameters + mixer.parameters + mlp.parameters }
}
