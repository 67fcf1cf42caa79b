/// What a device need not say: it has nothing to gain from doing these at once.
extension Backend {
  package var failure: (any Error)? { nil }
  package func record(_ body: () -> [Tensor]) -> (any RecordedWork)? { nil }

  package func linear(_ x: Tensor, _ projections: [Projection]) -> [Tensor] {
    projections.map { layer in
      let y = linear(x, layer.weight, layer.bias)
      return layer.activation.map { activate(y, $0) } ?? y
    }
  }

  package func addLinear(_ stream: Tensor, _ terms: [LinearTerm]) -> Tensor {
    terms.reduce(stream) { add($0, linear($1.x, $1.projection.weight, $1.projection.bias)) }
  }

  package func linearInputGradient(_ terms: [(dy: Tensor, weight: Tensor)]) -> Tensor {
    terms.dropFirst().reduce(linearInputGradient(terms[0].dy, terms[0].weight)) {
      add($0, linearInputGradient($1.dy, $1.weight))
    }
  }

  package func cachedAttention(
    appending rows: NewAttentionRows, keys: [Tensor], values: [Tensor],
    _ geometry: AttentionGeometry, _ segments: Segments
  ) -> Tensor {
    func rotated(_ x: Tensor, heads: Int) -> Tensor {
      rotate(x, rows.table, positions: rows.positions, heads: heads, inverse: false)
    }
    let k = rotated(rows.key, heads: geometry.keyValueHeads)
    appendRows(k, to: keys, positions: rows.positions, segments)
    appendRows(rows.value, to: values, positions: rows.positions, segments)
    return cachedAttention(
      rotated(rows.query, heads: geometry.heads), keys: keys, values: values,
      positions: rows.positions, geometry, segments)
  }
}
