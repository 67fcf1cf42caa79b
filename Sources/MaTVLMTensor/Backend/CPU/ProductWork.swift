import CMaTVLMKernels

/// Some consecutive rows of a float32 matrix.
struct FloatRows: Sendable {
  let matrix: Tensor
  let range: Range<Int>

  init(_ matrix: Tensor, _ range: Range<Int>) { (self.matrix, self.range) = (matrix, range) }
  init(_ matrix: Tensor) { self.init(matrix, 0..<matrix.shape.rows) }

  /// Some of the rows, counted from the first of these.
  subscript(_ rows: Range<Int>) -> FloatRows {
    FloatRows(matrix, range.lowerBound + rows.lowerBound..<range.lowerBound + rows.upperBound)
  }

  var count: Int { range.count }
  var width: Int { matrix.shape.width }
  /// Where row `index`, counted from the first of these rows, begins.
  func row(_ index: Int) -> UnsafeMutablePointer<Float> {
    matrix.floats + (range.lowerBound + index) * width
  }
}

/// A product cut into items, each made by one thread.
struct ProductWork: Sendable {
  let items: Int
  let y: FloatRows
  /// What becomes of an item as soon as it is made.
  var activation: Activation?
  /// Makes an item; returns which part of y it is.
  let body: @Sendable (Int) -> (rows: Range<Int>, columns: Range<Int>)
}

extension CPUBackend {
  /// y ← x weightᵀ + bias
  func work(
    _ x: PreparedRows, _ weight: Tensor, _ bias: Tensor?, into y: FloatRows
  ) -> ProductWork {
    if case .quantized(let quantization) = weight.dtype {
      return quantizedWork(RoundedRows(x.rows, quantization, on: self), weight, bias, into: y)
    }
    if isFew(x.rows.count) { return fewRowsWork(x, weight, bias, into: y) }
    return manyRowsWork(
      [ProductTerm(x: x, weight: weight, isTurned: true)], bias.map { [$0] } ?? [], into: y)
  }

  /// Does all items of several products, as if they were one.
  func run(_ works: [ProductWork]) {
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

  // MARK: Few rows

  /// Whether a product takes the time to read the weights, so that each is read once, in the order
  /// of memory.
  func isFew(_ rows: Int) -> Bool { rows <= 32 }

  private func fewRowsWork(
    _ prepared: PreparedRows, _ weight: Tensor, _ bias: Tensor?, into y: FloatRows
  ) -> ProductWork {
    let rounded = weight.dtype == .bfloat16 ? prepared.rounded : nil
    // Floats hold what was rounded: more rows than one have no kernel of their own.
    let floats = prepared.rows.count > 1 ? rounded.map { convert($0, to: .float32) } : nil
    let x = floats.map { FloatRows($0) } ?? prepared.rows
    let (inputs, outputs) = (weight.shape.width, weight.shape.rows)
    let pieces = OutputPieces(
      outputs, bytes: inputs * weight.dtype.byteCount, rows: x.count, threads: threads,
      least: 1 << 17, multiple: 4)
    return ProductWork(items: pieces.count, y: y) { [self] item in
      let range = pieces[item]
      let (first, count) = (range.lowerBound * inputs, Int64(range.count))
      let part = bias.map { UnsafePointer($0.floats + range.lowerBound) }
      let (from, result) = (x.row(0), y.row(0) + range.lowerBound)
      let (rows, width, stride) = (Int64(x.count), Int64(inputs), Int64(outputs))
      switch weight.dtype {
      case .bfloat16 where rounded != nil && rows == 1:
        kernels.matrix.row_product_of_bf16!(
          rounded!.halves, weight.halves + first, width, part, count, result)
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
      return (0..<x.count, range)
    }
  }
}
