import MaTVLMTensor

extension ReferenceBackend {
  package func gatherRows(_ table: Tensor, _ rows: Tensor) -> Tensor {
    let source = weights(table, table.shape.rows, table.shape.width, "gatherRows: table")
    let chosen = integers(rows, rows.shape.count, "gatherRows: rows")
    return tensor(chosen.flatMap { source.row($0) }, [chosen.count, source.width])
  }

  package func scatterAddRows(_ x: Tensor, _ rows: Tensor, count: Int) -> Tensor {
    let source = floats(x, [x.shape.rows, x.shape.width], "scatterAddRows: x")
    var sums = Grid(zeros: count, source.width)
    for (t, row) in integers(rows, x.shape.rows, "scatterAddRows: rows").enumerated() {
      for column in 0..<source.width { sums[row, column] += source[t, column] }
    }
    return tensor(sums, [count, source.width])
  }

  package func splitColumns(_ x: Tensor, _ widths: [Int]) -> [Tensor] {
    let source = floats(x, [x.shape.rows, widths.reduce(0, +)], "splitColumns: x")
    var first = 0
    return widths.map { width in
      defer { first += width }
      let part = (0..<x.shape.rows).flatMap { source.row($0).dropFirst(first).prefix(width) }
      return tensor(part, [x.shape.rows, width])
    }
  }

  package func joinColumns(_ parts: [Tensor?], widths: [Int]) -> Tensor {
    precondition(parts.count == widths.count, "joinColumns: \(parts.count) parts")
    guard let rows = parts.lazy.compactMap({ $0 }).first?.shape.rows else {
      preconditionFailure("joinColumns: every part is nil")
    }
    let sources = zip(parts, widths).map { part, width in
      part.map { floats($0, [rows, width], "joinColumns: part") } ?? Grid(zeros: rows, width)
    }
    return tensor(
      (0..<rows).flatMap { row in sources.flatMap { $0.row(row) } }, [rows, widths.reduce(0, +)])
  }

  package func sumRows(_ x: Tensor) -> Tensor {
    let source = floats(x, [x.shape.rows, x.shape.width], "sumRows: x")
    return tensor(
      (0..<source.width).map { column in
        (0..<x.shape.rows).reduce(0) { $0 + source[$1, column] }
      }, [source.width])
  }
}
