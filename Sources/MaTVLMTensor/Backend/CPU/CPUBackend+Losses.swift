import CMaTVLMKernels

extension CPUBackend {
  package func vocabularyLoss(
    _ student: VocabularyHead, teacher: VocabularyHead?, _ request: VocabularyLossRequest
  ) -> VocabularyLossResult {
    let walk = VocabularyWalk(self, student, teacher, request)
    let rows = student.rows.shape.rows
    for start in stride(from: 0, to: rows, by: walk.chunk) {
      walk.run(start..<min(rows, start + walk.chunk))
    }
    return walk.result
  }

  package func argmaxRows(_ x: Tensor) -> Tensor {
    let (rows, width) = (x.shape.rows, x.shape.width)
    let columns = Tensor(uninitialized: [rows], .int32, on: self)
    for row in 0..<rows {
      let values = UnsafeBufferPointer(start: x.floats + row * width, count: width)
      var best = 0
      for (column, value) in values.enumerated() where value > values[best] { best = column }
      columns.int32s[row] = values.allSatisfy(\.isFinite) ? Int32(best) : -1
    }
    return columns
  }

  package func distance(
    _ x: Tensor, _ target: Tensor, _ segments: Segments, weights: Tensor
  ) -> (norms: Tensor, gradient: Tensor) {
    require(
      x.shape == target.shape && segments.rows == x.shape.rows && weights.shape == [segments.count],
      """
      distance: x \(x.shape), target \(target.shape), weights \(weights.shape), \
      \(segments.count) segments of \(segments.rows) rows
      """)
    let width = x.shape.width
    let blocks = ElementBlocks(segments.lengths.map { $0 * width })
    @Sendable func elements(_ item: Int) -> (segment: Int, start: Int, count: Int) {
      let (segment, range) = blocks[item]
      return (segment, segments.starts[segment] * width + range.lowerBound, range.count)
    }
    let terms = doubles(blocks.count) { [self] item in
      let (_, at, count) = elements(item)
      return kernels.loss.squared_distance(x.floats + at, target.floats + at, Int64(count))
    }
    var squares = [Double](repeating: 0, count: segments.count)
    for (item, term) in terms.enumerated() { squares[elements(item).segment] += term }
    let norms = squares.map { Float($0.squareRoot()) }
    let factors = norms.enumerated().map { $1 > 0 ? weights.floats[$0] / $1 : 0 }
    let gradient = Tensor(uninitialized: x.shape, on: self)
    parallel(blocks.count) { [self] item in
      let (segment, at, count) = elements(item)
      kernels.elementwise.scale_difference(
        x.floats + at, target.floats + at, factors[segment], gradient.floats + at, Int64(count))
    }
    return (Tensor(norms, [segments.count], on: Device(self)), gradient)
  }
}
