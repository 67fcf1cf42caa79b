import MaTVLMTensor

/// Sequences of one call that must not see each other.
extension OperationCase {
  /// The one in the middle is not numbers; what is asked for is of the others.
  static let attentionNeighbors: [OperationCase] = [16, 72, 80].flatMap { headWidth in
    [true, false].map { isCausal in
      let extent = AttentionExtent(
        lengths: [150, 33, 70], heads: 4, keyValueHeads: 2, headWidth: headWidth)
      let name =
        "attention beside what is no number, heads of \(headWidth), "
        + (isCausal ? "causal" : "full")
      return OperationCase(name, .chain) { inputs in
        let segments = Segments(extent.lengths)
        let bad = segments.starts[1]..<segments.starts[2]
        let geometry = extent.geometry(isCausal: isCausal)
        let q = inputs.activations([segments.rows, extent.queryWidth], without: bad)
        let k = inputs.activations([segments.rows, extent.keyWidth], without: bad)
        let v = inputs.activations([segments.rows, extent.keyWidth], without: bad)
        let dy = inputs.activations(q.shape, without: bad)
        let others = inputs.indices((0..<segments.rows).filter { !bad.contains($0) })
        let backend = inputs.backend
        let (output, logSumExp) = backend.attention(q, k, v, geometry, segments)
        let gradient = backend.attentionGradient(
          dy, q, k, v, output: output, logSumExp: logSumExp, geometry, segments)
        return [
          .activation("output", backend.gatherRows(output, others)),
          .activation("dq", backend.gatherRows(gradient.q, others)),
          .activation("dk", backend.gatherRows(gradient.k, others)),
          .activation("dv", backend.gatherRows(gradient.v, others)),
        ]
      }
    }
  }

  /// More prompts than one launch of a card takes.
  static let manyCaches: [OperationCase] = [16, 72, 80].map { headWidth in
    let extent = AttentionExtent(
      lengths: [12, 9, 130, 1, 0, 70, 20, 65, 3, 40], heads: 4, keyValueHeads: 2,
      headWidth: headWidth)
    return OperationCase("cachedAttention of ten prompts, heads of \(headWidth)", .chain) {
      inputs in
      let segments = Segments(extent.lengths)
      let caches = (0..<2).map { _ in
        extent.lengths.map { inputs.emptyCache([$0 + 7, extent.keyWidth]) }
      }
      let positions = inputs.indices(extent.lengths.flatMap { Array(0..<$0) })
      for cache in caches {
        inputs.backend.appendRows(
          inputs.activations([segments.rows, extent.keyWidth]), to: cache, positions: positions,
          segments)
      }
      let output = inputs.backend.cachedAttention(
        inputs.activations([segments.rows, extent.queryWidth]), keys: caches[0],
        values: caches[1], positions: positions, extent.geometry(isCausal: true), segments)
      return [.activation("output", output)]
    }
  }
}
