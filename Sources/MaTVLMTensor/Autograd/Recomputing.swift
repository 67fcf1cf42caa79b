/// Computes `body(x)` keeping only `x`, and computes it again when gradients are taken: memory for
/// time (Chen et al. 2016, arXiv:1604.06174).
///
/// - Parameters:
///   - x: the input of the block.
///   - parameters: every parameter that `body` uses; those that are trainable get gradients.
///   - body: the block; it must give the same value each time.
/// - Returns: what `body` returns, with the gradients that it would have by itself.
public func recomputing(
  _ x: Tensor, _ parameters: [Parameter], _ body: @escaping @Sendable (Tensor) -> Tensor
) -> Tensor {
  let trainable = parameters.filter(\.isTrainable)
  let (saved, needsX) = (x.detached, x.history != nil)
  let y = withoutGradients { body(saved) }
  return y.recording("recomputing", [x] + trainable.map(\.value)) { dy in
    let leaf = Node(leaf: "recomputed input")
    let input = needsX ? saved.asLeaf(leaf) : saved
    let inner = withGradients { gradients(of: [(body(input), dy)]) }
    return [inner[leaf]] + trainable.map { inner[$0] }
  }
}
