import MaTVLMTensor

extension CUDABackend {
  package func gatherRows(_ table: Tensor, _ rows: Tensor) -> Tensor {
    let width = table.shape.width
    let y = empty([rows.shape.count, width], activationType)
    if let matrix = QuantizedMatrix(table) {
      launch(
        matrix.source(.quantizedRows, activationType), "gatherQuantizedRows",
        grid: Grid(rows.shape.count), [.tensor(y), matrix.argument, .tensor(rows)])
      return y
    }
    launch(
      .rows, "gatherRows", activationType, grid: Grid(rows.shape.count),
      [
        .tensor(y), .tensor(table), .int32(table.dtype.kernelCode), .tensor(rows), .int32(width),
      ])
    return y
  }

  package func scatterAddRows(_ x: Tensor, _ rows: Tensor, count: Int) -> Tensor {
    require(
      x.shape.rows == rows.shape.count, "scatterAddRows: x \(x.shape), rows \(rows.shape)")
    let y = empty([count, x.shape.width], x.dtype)
    launch(
      .rows, "scatterAddRows", x.dtype, grid: Grid(count),
      [.tensor(y), .tensor(x), .tensor(rows), .int32(x.shape.rows), .int32(x.shape.width)])
    return y
  }

  package func splitColumns(_ x: Tensor, _ widths: [Int]) -> [Tensor] {
    require(
      x.shape.width == widths.reduce(0, +), "splitColumns: x \(x.shape) into \(widths)")
    var column = 0
    return widths.map { width in
      let y = empty([x.shape.rows, width], x.dtype)
      copyColumns(y, at: 0, x, at: column, width: width)
      column += width
      return y
    }
  }

  package func joinColumns(_ parts: [Tensor?], widths: [Int]) -> Tensor {
    let present = parts.compactMap { $0 }
    require(
      parts.count == widths.count && !present.isEmpty
        && zip(parts, widths).allSatisfy { part, width in
          part.map { $0.shape == [present[0].shape.rows, width] } ?? true
        },
      "joinColumns: \(parts.map { $0?.shape }) of widths \(widths)")
    let y = empty([present[0].shape.rows, widths.reduce(0, +)], present[0].dtype)
    var column = 0
    for (part, width) in zip(parts, widths) {
      copyColumns(y, at: column, part, at: 0, width: width)
      column += width
    }
    return y
  }

  /// Copies `width` columns of every row; zeros where there is no `x`.
  func copyColumns(
    _ y: Tensor, at yColumn: Int, _ x: Tensor?, at xColumn: Int, width: Int
  ) {
    let extents = [y.shape.width, yColumn, x?.shape.width ?? 0, xColumn, width]
    let lanes = 16 / y.dtype.byteCount
    let isPacked = extents.allSatisfy { $0 % lanes == 0 }
    let units = isPacked ? extents.map { $0 / lanes } : extents
    let block = 64
    launch(
      .rows, isPacked ? "copyPacks" : "copyColumns", y.dtype,
      grid: Grid(
        (y.shape.rows + 3) / 4,  // ROWS_AT_ONCE of rows.cu
        (units[4] + block - 1) / block),
      block: block,
      [
        .tensor(y), .int64(units[0]), .int64(units[1]), .tensor(x), .int64(units[2]),
        .int64(units[3]), .int32(y.shape.rows), .int32(units[4]),
      ])
  }

  package func rotate(
    _ x: Tensor, _ table: Tensor, positions: Tensor, heads: Int, inverse: Bool
  ) -> Tensor {
    let width = x.shape.width / heads
    require(
      x.shape.width % heads == 0 && table.shape.width <= width && table.shape.width % 2 == 0
        && positions.shape.count == x.shape.rows,
      "rotate: x \(x.shape) of \(heads) heads, table \(table.shape), positions \(positions.shape)")
    let y = empty(x.shape, x.dtype)
    launch(
      .rows, "rotate", x.dtype, grid: Grid(x.shape.rows),
      [
        .tensor(y), .tensor(x), .tensor(table), .tensor(positions), .int32(heads), .int32(width),
        .int32(table.shape.width), .int32(inverse ? 1 : 0),
      ])
    return y
  }

  package func sumRows(_ x: Tensor) -> Tensor {
    let (rows, width) = (x.shape.rows, x.shape.width)
    guard rows > 0 else { return zeros([width], .float32) }
    let slab = Self.slab(rows)
    let slabs = (rows + slab - 1) / slab
    let parts = empty([slabs, width], .float32)
    launch(
      .reductions, "sumRows", x.dtype, grid: Grid((width + 255) / 256, slabs),
      [.tensor(parts), .tensor(x), .int32(rows), .int32(width), .int32(slab)])
    return slabs == 1 ? parts.reshaped([width]) : sumRows(parts)
  }

  /// Rows that one block adds up; sums of slabs are added up by another launch, in order.
  static func slab(_ rows: Int) -> Int { rows <= 128 ? max(1, rows) : max(32, (rows + 127) / 128) }
}
