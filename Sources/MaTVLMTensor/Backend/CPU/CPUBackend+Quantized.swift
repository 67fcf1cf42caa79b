import CMaTVLMKernels

/// A quantised matrix of weights as the kernels take it.
struct QuantizedMatrix: Sendable {
  let tensor: Tensor
  let layout: QuantizedLayout
  var outputs: Int { tensor.shape.rows }
  var inputs: Int { tensor.shape.width }
  var group: Int64 { Int64(layout.quantization.group) }
  var bits: Int64 { Int64(layout.quantization.code.rawValue) }

  /// - Precondition: the tensor is quantised.
  init(_ tensor: Tensor) {
    guard case .quantized(let quantization) = tensor.dtype else {
      fatalError("\(tensor.shape) is \(tensor.dtype), not quantised")
    }
    self.tensor = tensor
    layout = QuantizedLayout(tensor.shape, quantization)
  }

  /// The scales of a panel, bfloat16 [groups, 16].
  func scales(_ panel: Int) -> UnsafeMutablePointer<UInt16> {
    (tensor.storage.memory.pointer + layout.scalesOffset).assumingMemoryBound(to: UInt16.self)
      + panel * layout.scalesShape.width
  }

  func codes(_ panel: Int) -> UnsafeMutablePointer<UInt8> {
    tensor.storage.memory.pointer.assumingMemoryBound(to: UInt8.self)
      + panel * layout.codesShape.width
  }

  var kernelArgument: matvlm_quantized_matrix {
    matvlm_quantized_matrix(
      outputs: Int64(outputs), inputs: Int64(inputs), group: group, bits: bits, scales: scales(0),
      codes: codes(0))
  }
}

/// Rows of activations rounded to int8, in the groups of the weights that they are multiplied with.
struct RoundedRows: Sendable {
  let count: Int
  /// int32 [T, columns / 4]: four codes each.
  private let codes: Tensor
  /// float32 [T, groups]
  private let scales: Tensor
  /// int32 [T, groups]
  private let corrections: Tensor

  init(_ x: FloatRows, _ quantization: Quantization, on backend: CPUBackend) {
    let layout = QuantizedLayout([1, x.width], quantization)
    count = x.count
    codes = Tensor(uninitialized: [count, layout.width / 4], .int32, on: backend)
    scales = Tensor(uninitialized: [count, layout.groups], on: backend)
    corrections = Tensor(uninitialized: [count, layout.groups], .int32, on: backend)
    let result = self
    backend.parallel(count, grain: CPUBackend.rowGrain(x.width)) { rows in
      var argument = result.kernelArgument(from: rows.lowerBound)
      backend.kernels.quantized.round_rows(
        x.row(rows.lowerBound), Int64(rows.count), Int64(x.width), Int64(quantization.group),
        Int64(quantization.code.rawValue), &argument)
    }
  }

  func kernelArgument(from row: Int) -> matvlm_rounded_rows {
    matvlm_rounded_rows(
      codes: UnsafeMutableRawPointer(codes.int32s + row * codes.shape.width)
        .assumingMemoryBound(to: Int8.self),
      scales: scales.floats + row * scales.shape.width,
      corrections: corrections.int32s + row * scales.shape.width)
  }
}

extension CPUBackend {
  package var holdsQuantizedWeights: Bool { true }

  /// Rounds a floating-point matrix.
  func quantize(_ x: Tensor, _ quantization: Quantization) -> Tensor {
    let y = Tensor(uninitialized: x.shape, .quantized(quantization), on: self)
    let matrix = QuantizedMatrix(y)
    let (rows, width) = (x.shape.rows, x.shape.width)
    let height = QuantizedLayout.panelRows
    parallel(matrix.layout.panels) { [self] panel in
      let count = min(height, rows - panel * height)
      withScratch(height * (width + matrix.layout.width)) { scratch in
        copyFloats(x, from: panel * height * width, count: count * width, to: scratch)
        kernels.quantized.quantize_panel(
          scratch, Int64(count), Int64(width), matrix.group, matrix.bits, matrix.scales(panel),
          matrix.codes(panel), scratch + height * width)
      }
    }
    return y
  }

  /// Float32 values of a quantised matrix.
  func dequantize(_ x: Tensor) -> Tensor {
    let y = Tensor(uninitialized: x.shape, on: self)
    let width = x.shape.width
    parallel(x.shape.rows, grain: QuantizedLayout.panelRows) { [self] rows in
      for row in rows { unpack(x, from: row * width, count: width, to: y.floats + row * width) }
    }
    return y
  }

  /// Float32 values of elements of one row.
  func unpack(_ x: Tensor, from start: Int, count: Int, to y: UnsafeMutablePointer<Float>) {
    let matrix = QuantizedMatrix(x)
    let (row, column) = (start / max(1, matrix.inputs), start % max(1, matrix.inputs))
    require(column + count <= matrix.inputs, "unpack: \(count) from \(start) of \(x.shape)")
    var argument = matrix.kernelArgument
    kernels.quantized.unpack(&argument, Int64(row), Int64(column), Int64(count), y)
  }

  /// Rows that are multiplied with a piece of the weights before the next piece is read: their
  /// codes stay in the second-level cache.
  private static var rowBlock: Int { 384 }

  /// y ← x weightᵀ + bias, for rows of x that were rounded.
  func quantizedWork(
    _ x: RoundedRows, _ weight: Tensor, _ bias: Tensor?, into y: FloatRows
  ) -> ProductWork {
    let matrix = QuantizedMatrix(weight)
    let pieces = OutputPieces(
      matrix.layout.panels, bytes: matrix.layout.codesShape.width, rows: x.count,
      threads: threads, least: 1 << 18, multiple: 2)
    let blocks = (x.count + Self.rowBlock - 1) / Self.rowBlock
    nonisolated(unsafe) let argument = matrix.kernelArgument  // `matrix` is kept, and read only
    return ProductWork(items: pieces.count * blocks, y: y) { [self] item in
      let row = item / pieces.count * Self.rowBlock
      let panels = pieces[item % pieces.count]
      let first = panels.lowerBound * QuantizedLayout.panelRows
      let height = min(Self.rowBlock, x.count - row)
      var rows = x.kernelArgument(from: row)
      var argument = argument
      kernels.quantized.products(
        &rows, Int64(height), &argument, Int64(panels.lowerBound), Int64(panels.count),
        bias.map { UnsafePointer($0.floats) }, y.row(row) + first, Int64(matrix.outputs))
      let end = min(matrix.outputs, panels.upperBound * QuantizedLayout.panelRows)
      return (row..<row + height, first..<end)
    }
  }
}
