import CMaTVLMKernels
import COpenBLAS

/// Some consecutive rows of a float32 matrix.
struct FloatRows: Sendable {
  let matrix: Tensor
  let range: Range<Int>

  init(_ matrix: Tensor, _ range: Range<Int>) { (self.matrix, self.range) = (matrix, range) }
  init(_ matrix: Tensor) { self.init(matrix, 0..<matrix.shape.rows) }

  var count: Int { range.count }
  var width: Int { matrix.shape.width }
  /// Where row `index`, counted from the first of these rows, begins.
  func row(_ index: Int) -> UnsafeMutablePointer<Float> {
    matrix.floats + (range.lowerBound + index) * width
  }
}

/// A product cut into items whose bounds follow from shapes; each is made by one thread.
struct ProductWork: Sendable {
  let items: Int
  let y: FloatRows
  /// What becomes of an item as soon as it is made.
  var activation: Activation?
  /// Makes an item; returns which part of y it is.
  let body: @Sendable (Int) -> (rows: Range<Int>, columns: Range<Int>)
}

extension CPUBackend {
  package func linear(_ x: Tensor, _ weight: Tensor, _ bias: Tensor?) -> Tensor {
    let y = product(of: x, weight, bias)
    multiply(FloatRows(x), weight, bias, into: FloatRows(y))
    return y
  }

  /// Small products have few pieces each, and quantised ones round the rows: both are done together.
  package func linear(_ x: Tensor, _ projections: [Projection]) -> [Tensor] {
    let results = projections.map { product(of: x, $0.weight, $0.bias) }
    let rows = FloatRows(x)
    let types = Set(projections.map(\.weight.dtype))
    let make: (Projection, FloatRows) -> ProductWork
    if types.count == 1, case .quantized(let quantization)? = types.first {
      let rounded = RoundedRows(rows, quantization, on: self)
      make = { self.quantizedWork(rounded, $0.weight, $0.bias, into: $1) }
    } else if types.allSatisfy({ isOurs(x.shape.rows, $0) }) {
      make = { self.ownWork(rows, $0.weight, $0.bias, into: $1) }
    } else {
      return zip(projections, results).map { layer, y in
        multiply(rows, layer.weight, layer.bias, into: FloatRows(y))
        return layer.activation.map { activate(y, $0) } ?? y
      }
    }
    run(
      zip(projections, results).map { layer, y in
        var work = make(layer, FloatRows(y))
        work.activation = layer.activation
        return work
      })
    return results
  }

  /// Memory for x weightᵀ + bias, after a check of the shapes.
  private func product(of x: Tensor, _ weight: Tensor, _ bias: Tensor?) -> Tensor {
    let (inputs, outputs) = Self.widths("linear", weight)
    require(
      x.shape == [x.shape.rows, inputs],
      "linear: x is \(x.shape), weight takes width \(inputs)")
    require(
      bias.map { $0.shape == [outputs] } ?? true,
      "linear: bias is \(bias?.shape ?? []), weight makes width \(outputs)")
    return Tensor(uninitialized: [x.shape.rows, outputs], on: self)
  }

  package func linearInputGradient(_ dy: Tensor, _ weight: Tensor) -> Tensor {
    let (inputs, outputs) = Self.widths("linearInputGradient", weight)
    require(
      dy.shape == [dy.shape.rows, outputs],
      "linearInputGradient: dy is \(dy.shape), weight makes width \(outputs)")
    let dx = Tensor(uninitialized: [dy.shape.rows, inputs], on: self)
    multiplyBack(FloatRows(dy), weight, into: FloatRows(dx))
    return dx
  }

  package func linearWeightGradient(_ dy: Tensor, _ x: Tensor) -> Tensor {
    require(
      dy.shape.dimensions.count == 2 && x.shape.dimensions.count == 2
        && dy.shape.rows == x.shape.rows,
      "linearWeightGradient: dy is \(dy.shape), x is \(x.shape)")
    let (outputs, inputs) = (dy.shape.width, x.shape.width)
    // Small matrices of weights have too few tiles for several threads: cut the rows as well.
    let rowsOfPiece = outputs * inputs < 1 << 20 ? 512 : dy.shape.rows
    let pieces = min(8, max(1, dy.shape.rows / max(1, rowsOfPiece)))
    let sums = zeros([pieces, outputs, inputs], .float32)
    addWeightGradient(FloatRows(dy), FloatRows(x), to: sums)
    guard pieces > 1 else { return sums.reshaped([outputs, inputs]) }
    let total = zeros([outputs, inputs], .float32)
    addRows(sums, 0..<pieces, to: total)
    return total
  }

  private static func widths(_ name: String, _ weight: Tensor) -> (inputs: Int, outputs: Int) {
    require(
      weight.shape.dimensions.count >= 2 && weight.dtype.isWeight,
      "\(name): weight is \(weight.dtype) \(weight.shape)")
    return (weight.shape.width, weight.shape.rows)
  }

  // MARK: Tiles

  /// Whether our kernels make a product. They read each weight of a few rows once, and unpack weights
  /// of 16 bits for many rows as they turn them, which takes half the time of unpacking for BLAS.
  /// Many rows of float32 weights, which have nothing to unpack, go to BLAS.
  private func isOurs(_ rows: Int, _ weight: DType) -> Bool {
    weight == .float32 ? rows <= Self.fewRows : weight == .bfloat16 || weight == .float16
  }

  private static let fewRows = 32
  /// Rows, and outputs, of an item of many rows: these fit into the second-level cache.
  private static let manyRows = (rows: 512, outputs: 240)

  /// The largest tile: 16-bit weights are unpacked once for each tile, so theirs has more rows.
  private static func largestTile(_ dtype: DType) -> (rows: Int, columns: Int) {
    dtype == .float32 ? (256, 512) : (1024, 256)
  }

  /// Columns, or rows, of a matrix of weights that are unpacked to float32 at once: with the
  /// largest tile's 256, a panel that stays in the second-level cache.
  private static let panelDepth = 1024

  /// The panel [rows, columns] of a matrix of weights as float32, and its row stride.
  private func withPanel(
    _ weight: Tensor, _ rows: Range<Int>, _ columns: Range<Int>, scratch: Tensor?,
    _ body: (_ panel: UnsafePointer<Float>, _ stride: Int) -> Void
  ) {
    let width = weight.shape.width
    guard let scratch else {
      body(weight.floats + rows.lowerBound * width + columns.lowerBound, width)
      return
    }
    for (index, row) in rows.enumerated() {
      copyFloats(
        weight, from: row * width + columns.lowerBound, count: columns.count,
        to: scratch.floats + index * columns.count)
    }
    body(scratch.floats, columns.count)
  }

  /// Runs `body` for pieces of `0..<depth`, with memory for a panel of 16-bit weights.
  private func forEachPanel(
    _ weight: Tensor, depth: Int, across: Int, _ body: (_ depths: Range<Int>, Tensor?) -> Void
  ) {
    guard weight.dtype != .float32 else {
      body(0..<depth, nil)
      return
    }
    let step = min(depth, Self.panelDepth)
    let scratch = Tensor(uninitialized: [across, step], on: self)
    for start in stride(from: 0, to: depth, by: max(1, step)) {
      body(start..<min(depth, start + step), scratch)
    }
  }

  // MARK: Products

  /// y ← x weightᵀ + bias, for rows of x and y.
  func multiply(_ x: FloatRows, _ weight: Tensor, _ bias: Tensor?, into y: FloatRows) {
    if case .quantized(let quantization) = weight.dtype {
      run([quantizedWork(RoundedRows(x, quantization, on: self), weight, bias, into: y)])
      return
    }
    if isOurs(x.count, weight.dtype) {
      run([ownWork(x, weight, bias, into: y)])
      return
    }
    let outputs = weight.shape.rows
    let tiles = TileGrid(x.count, outputs, most: Self.largestTile(weight.dtype))
    parallel(tiles.count) { [self] item in
      let (rows, columns) = tiles[item]
      for t in rows {
        let part = y.row(t) + columns.lowerBound
        if let bias {
          part.update(from: bias.floats + columns.lowerBound, count: columns.count)
        } else {
          part.update(repeating: 0, count: columns.count)
        }
      }
      forEachPanel(weight, depth: x.width, across: columns.count) { depths, scratch in
        withPanel(weight, columns, depths, scratch: scratch) { panel, stride in
          cblas_sgemm(
            CblasRowMajor, CblasNoTrans, CblasTrans, Int32(rows.count), Int32(columns.count),
            Int32(depths.count), 1, x.row(rows.lowerBound) + depths.lowerBound, Int32(x.width),
            panel, Int32(stride), 1, y.row(rows.lowerBound) + columns.lowerBound, Int32(outputs))
        }
      }
    }
  }

  /// How many outputs of a matrix one thread reads at a time, for a few rows of x: some hundred
  /// kilobytes of weights. For a single row, whose weights come from memory, long pieces are read
  /// faster, as long as there are enough of them for all threads.
  ///
  /// - Parameters:
  ///   - bytes: of an output's weights.
  ///   - least: bytes of a short piece.
  static func piece(of outputs: Int, bytes: Int, rows: Int, least: Int) -> Int {
    let longest = rows == 1 ? min(1 << 20, outputs * bytes / 16) : 0
    return max(least, longest) / max(1, bytes)
  }

  /// The same by our kernels: for a few rows, the time it takes is the time to read the weights.
  private func ownWork(
    _ x: FloatRows, _ weight: Tensor, _ bias: Tensor?, into y: FloatRows
  ) -> ProductWork {
    let (inputs, outputs) = (weight.shape.width, weight.shape.rows)
    let isFew = x.count <= Self.fewRows
    let bytes = max(1, inputs * weight.dtype.byteCount)
    let grain =
      isFew
      ? max(4, Self.piece(of: outputs, bytes: bytes, rows: x.count, least: 1 << 17) / 4 * 4)
      : Self.manyRows.outputs
    let pieces = (outputs + grain - 1) / grain
    let height = isFew ? x.count : Self.manyRows.rows
    let blocks = isFew ? 1 : (x.count + height - 1) / height
    return ProductWork(items: pieces * blocks, y: y) { [self] item in
      let range = item % pieces * grain..<min(outputs, (item % pieces + 1) * grain)
      let block = item / pieces * height..<min(x.count, (item / pieces + 1) * height)
      let (first, count) = (range.lowerBound * inputs, Int64(range.count))
      let part = bias.map { UnsafePointer($0.floats + range.lowerBound) }
      let (from, result) = (x.row(block.lowerBound), y.row(block.lowerBound) + range.lowerBound)
      let (rows, width, stride) = (Int64(block.count), Int64(inputs), Int64(outputs))
      switch weight.dtype {
      case .bfloat16:
        kernels.matrix.bf16_row_products(
          from, rows, weight.halves + first, width, part, count, result, stride)
      case .float16:
        kernels.matrix.f16_row_products(
          from, rows, weight.halves + first, width, part, count, result, stride)
      case .float32, .int32, .quantized:
        kernels.matrix.float_row_products(
          from, rows, weight.floats + first, width, part, count, result, stride)
      }
      return (block, range)
    }
  }

  /// Does all items of several products, as if they were one.
  private func run(_ works: [ProductWork]) {
    var starts = [0]
    for work in works { starts.append(starts[starts.count - 1] + work.items) }
    let ends = starts
    parallel(ends[works.count]) { item in
      let index = ends.dropFirst().firstIndex { item < $0 }! - 1
      let work = works[index]
      let (rows, columns) = work.body(item - ends[index])
      guard let kernel = work.activation.map(activationKernel) else { return }
      for row in rows {
        let part = work.y.row(row) + columns.lowerBound
        kernel(part, part, Int64(columns.count))
      }
    }
  }

  /// dx ← dy weight, for rows of dy and dx.
  func multiplyBack(_ dy: FloatRows, _ weight: Tensor, into dx: FloatRows) {
    let inputs = weight.shape.width
    let tiles = TileGrid(dy.count, inputs, most: Self.largestTile(weight.dtype))
    parallel(tiles.count) { [self] item in
      let (rows, columns) = tiles[item]
      for t in rows { (dx.row(t) + columns.lowerBound).update(repeating: 0, count: columns.count) }
      forEachPanel(weight, depth: dy.width, across: columns.count) { depths, scratch in
        withPanel(weight, depths, columns, scratch: scratch) { panel, stride in
          cblas_sgemm(
            CblasRowMajor, CblasNoTrans, CblasNoTrans, Int32(rows.count), Int32(columns.count),
            Int32(depths.count), 1, dy.row(rows.lowerBound) + depths.lowerBound, Int32(dy.width),
            panel, Int32(stride), 1, dx.row(rows.lowerBound) + columns.lowerBound, Int32(inputs))
        }
      }
    }
  }

  /// sums [pieces, O, I]: cuts the rows into as many parts, and adds dyᵀ x of each to its piece.
  func addWeightGradient(_ dy: FloatRows, _ x: FloatRows, to sums: Tensor) {
    let (pieces, inputs) = (sums.shape[0], x.width)
    let tiles = TileGrid(
      dy.width, inputs, most: Self.largestTile(.float32), wanted: 8 / pieces)
    let depth = (dy.count + pieces - 1) / pieces
    parallel(pieces * tiles.count) { item in
      let (rows, columns) = tiles[item % tiles.count]
      let piece = item / tiles.count
      let part = min(dy.count, piece * depth)..<min(dy.count, (piece + 1) * depth)
      let sum = sums.floats + (piece * dy.width + rows.lowerBound) * inputs + columns.lowerBound
      cblas_sgemm(
        CblasRowMajor, CblasTrans, CblasNoTrans, Int32(rows.count), Int32(columns.count),
        Int32(part.count), 1, dy.row(part.lowerBound) + rows.lowerBound, Int32(dy.width),
        x.row(part.lowerBound) + columns.lowerBound, Int32(inputs), 1, sum, Int32(inputs))
    }
  }
}
