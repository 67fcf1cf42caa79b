import Foundation
import MaTVLMTensor

extension ReferenceBackend {
  package func rotate(
    _ x: Tensor, _ table: Tensor, positions: Tensor, heads: Int, inverse: Bool
  ) -> Tensor {
    let (headWidth, half) = (x.shape.width / heads, table.shape.width / 2)
    precondition(
      x.shape.width % heads == 0 && table.shape.width % 2 == 0 && 2 * half <= headWidth,
      "rotate: \(table.shape.width) columns of \(heads) heads of \(x.shape)")
    var result = floats(x, [x.shape.rows, heads * headWidth], "rotate: x")
    let angles = floats(table, [table.shape.rows, 2 * half], "rotate: table")
    for (row, position) in integers(positions, x.shape.rows, "rotate: positions").enumerated() {
      for head in 0..<heads {
        for pair in 0..<half {
          let (first, second) = (head * headWidth + pair, head * headWidth + half + pair)
          let cosine = angles[position, pair]
          let sine = angles[position, half + pair] * (inverse ? -1 : 1)
          let (a, b) = (result[row, first], result[row, second])
          result[row, first] = a * cosine - b * sine
          result[row, second] = b * cosine + a * sine
        }
      }
    }
    return tensor(result, x.shape)
  }

  package func attention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, _ geometry: AttentionGeometry, _ segments: Segments
  ) -> (output: Tensor, logSumExp: Tensor) {
    let (queries, keys, values) = checked(q, k, v, geometry, segments)
    var output = Grid(zeros: segments.rows, queries.width)
    var logSumExp = Grid(zeros: segments.rows, geometry.heads)
    for (head, row, visible) in geometry.queries(segments) {
      let softmax = geometry.softmax(queries, row, keys, visible, head)
      logSumExp[row, head] = softmax.logDenominator
      for (p, other) in zip(softmax.probabilities, visible) {
        for (own, shared) in geometry.columns(head) {
          output[row, own] += p * values[other, shared]
        }
      }
    }
    return (tensor(output, q.shape), tensor(logSumExp, [segments.rows, geometry.heads]))
  }

  /// From q, k and v alone: what the forward pass saved is only checked for its shape.
  package func attentionGradient(
    _ dy: Tensor, _ q: Tensor, _ k: Tensor, _ v: Tensor, output: Tensor, logSumExp: Tensor,
    _ geometry: AttentionGeometry, _ segments: Segments
  ) -> (q: Tensor, k: Tensor, v: Tensor) {
    let (queries, keys, values) = checked(q, k, v, geometry, segments)
    let upstream = floats(dy, q.shape, "attentionGradient: dy")
    _ = floats(output, q.shape, "attentionGradient: output")
    _ = floats(logSumExp, [segments.rows, geometry.heads], "attentionGradient: logSumExp")
    var dq = Grid(zeros: segments.rows, queries.width)
    var (dk, dv) = (Grid(zeros: segments.rows, keys.width), Grid(zeros: segments.rows, keys.width))
    for (head, row, visible) in geometry.queries(segments) {
      let p = geometry.softmax(queries, row, keys, visible, head).probabilities
      let dp = visible.map { other in
        geometry.columns(head).reduce(0) { $0 + upstream[row, $1.own] * values[other, $1.shared] }
      }
      let mean = zip(p, dp).reduce(0) { $0 + $1.0 * $1.1 }
      for (index, other) in visible.enumerated() {
        let ds = p[index] * (dp[index] - mean) * Double(geometry.scale)
        for (own, shared) in geometry.columns(head) {
          dq[row, own] += ds * keys[other, shared]
          dk[other, shared] += ds * queries[row, own]
          dv[other, shared] += p[index] * upstream[row, own]
        }
      }
    }
    return (tensor(dq, q.shape), tensor(dk, k.shape), tensor(dv, v.shape))
  }

  private func checked(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, _ geometry: AttentionGeometry, _ segments: Segments
  ) -> (q: Grid, k: Grid, v: Grid) {
    let shared: Shape = [segments.rows, geometry.keyValueHeads * geometry.headWidth]
    return (
      floats(q, [segments.rows, geometry.heads * geometry.headWidth], "attention: q"),
      floats(k, shared, "attention: k"), floats(v, shared, "attention: v")
    )
  }

  package func appendRows(
    _ x: Tensor, to caches: [Tensor], positions: Tensor, _ segments: Segments
  ) {
    precondition(caches.count == segments.count, "appendRows: \(caches.count) caches")
    let source = floats(x, [segments.rows, x.shape.width], "appendRows: x")
    let places = integers(positions, segments.rows, "appendRows: positions")
    for (segment, cache) in caches.enumerated() {
      var rows = weights(cache, cache.shape.rows, source.width, "appendRows: cache")
      for row in segments.range(segment) {
        for column in 0..<source.width { rows[places[row], column] = source[row, column] }
      }
      replace(cache, with: rows.values)
    }
  }

  package func cachedAttention(
    _ q: Tensor, keys: [Tensor], values: [Tensor], positions: Tensor,
    _ geometry: AttentionGeometry, _ segments: Segments
  ) -> Tensor {
    precondition(
      keys.count == segments.count && values.count == segments.count && geometry.isCausal,
      "cachedAttention: \(keys.count) and \(values.count) caches for \(segments.count) segments")
    let queryShape: Shape = [segments.rows, geometry.heads * geometry.headWidth]
    let queries = floats(q, queryShape, "cachedAttention: q")
    let places = integers(positions, segments.rows, "cachedAttention: positions")
    var output = Grid(zeros: segments.rows, queries.width)
    for segment in 0..<segments.count {
      let (rows, width) = (
        keys[segment].shape.rows, geometry.keyValueHeads * geometry.headWidth
      )
      let keyRows = weights(keys[segment], rows, width, "cachedAttention: keys")
      let valueRows = weights(values[segment], rows, width, "cachedAttention: values")
      for row in segments.range(segment) {
        for head in 0..<geometry.heads {
          let visible = 0..<places[row] + 1
          let p = geometry.softmax(queries, row, keyRows, visible, head).probabilities
          for other in visible {
            for (own, shared) in geometry.columns(head) {
              output[row, own] += p[other] * valueRows[other, shared]
            }
          }
        }
      }
    }
    return tensor(output, queryShape)
  }
}

extension Segments {
  /// The rows of one sequence.
  func range(_ segment: Int) -> Range<Int> { starts[segment]..<starts[segment + 1] }
}

extension AttentionGeometry {
  /// Every head and row, with the rows that it sees.
  fileprivate func queries(_ segments: Segments) -> [(head: Int, row: Int, visible: Range<Int>)] {
    (0..<heads).flatMap { head in
      (0..<segments.count).flatMap { segment in
        let rows = segments.range(segment)
        return rows.map { (head, $0, isCausal ? rows.lowerBound..<$0 + 1 : rows) }
      }
    }
  }

  /// Each column of a query head, and the column of keys and values that goes with it.
  fileprivate func columns(_ head: Int) -> [(own: Int, shared: Int)] {
    let shared = head / (heads / keyValueHeads)
    return (0..<headWidth).map { (head * headWidth + $0, shared * headWidth + $0) }
  }

  fileprivate func softmax(
    _ queries: Grid, _ row: Int, _ keys: Grid, _ visible: Range<Int>, _ head: Int
  ) -> (probabilities: [Double], logDenominator: Double) {
    let scores = visible.map { other in
      Double(scale)
        * columns(head).reduce(0) { $0 + queries[row, $1.own] * keys[other, $1.shared] }
    }
    let maximum = scores.max()!
    let denominator = scores.reduce(0) { $0 + exp($1 - maximum) }
    return (scores.map { exp($0 - maximum) / denominator }, maximum + log(denominator))
  }
}
