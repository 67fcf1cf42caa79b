import CMaTVLMKernels
import Foundation

extension CPUBackend {
  /// Elements of one item of work that reads and writes memory and does little else; less is not
  /// worth a second thread.
  static let elementGrain = 1 << 15

  /// Rows of `width` elements for one such item.
  static func rowGrain(_ width: Int) -> Int { max(1, elementGrain / max(1, width)) }

  /// Rows of `width` elements whose sum is made by one thread, when rows are added up.
  private static func sumGrain(_ width: Int) -> Int {
    min(256, max(16, 4 * elementGrain / max(1, width)))
  }

  /// Copies `count` elements of a floating-point tensor, from element `start` on, as float32; of a
  /// quantised matrix, elements of one row.
  func copyFloats(
    _ x: Tensor, from start: Int, count: Int, to y: UnsafeMutablePointer<Float>
  ) {
    switch x.dtype {
    case .float32: y.update(from: x.floats + start, count: count)
    case .bfloat16: kernels.elementwise.bf16_to_float(x.halves + start, y, Int64(count))
    case .float16: kernels.elementwise.f16_to_float(x.halves + start, y, Int64(count))
    case .quantized: unpack(x, from: start, count: count, to: y)
    case .int32: fatalError("\(x.shape) is int32, not floating-point")
    }
  }

  package func convert(_ x: Tensor, to dtype: DType) -> Tensor {
    require(
      x.dtype == dtype || (x.dtype.isWeight && dtype.isFloatingPoint)
        || (x.dtype.isFloatingPoint && dtype.isWeight),
      "convert: \(x.shape) from \(x.dtype) to \(dtype)")
    if x.dtype != dtype, case .quantized(let quantization) = dtype {
      return quantize(x, quantization)
    }
    if x.dtype != dtype, case .quantized = x.dtype {
      let floats = dequantize(x)
      return dtype == .float32 ? floats : convert(floats, to: dtype)
    }
    let y = Tensor(uninitialized: x.shape, dtype, on: self)
    if x.dtype == dtype {
      memcpy(y.storage.memory.pointer, x.storage.memory.pointer, dtype.byteCount(of: x.shape))
    } else if dtype == .float32 {
      parallel(x.shape.count, grain: Self.elementGrain) { [self] range in
        copyFloats(x, from: range.lowerBound, count: range.count, to: y.floats + range.lowerBound)
      }
    } else {
      // From one 16-bit type to the other by way of float32, which holds both.
      let source = x.dtype == .float32 ? x : convert(x, to: .float32)
      let kernel =
        dtype == .bfloat16
        ? kernels.elementwise.float_to_bf16 : kernels.elementwise.float_to_f16
      parallel(x.shape.count, grain: Self.elementGrain) { range in
        let at = range.lowerBound
        kernel(source.floats + at, y.halves + at, Int64(range.count))
      }
    }
    return y
  }

  package func gatherRows(_ table: Tensor, _ rows: Tensor) -> Tensor {
    require(
      table.shape.dimensions.count == 2 && table.dtype.isWeight && rows.dtype == .int32,
      "gatherRows: table \(table.shape), rows \(rows.dtype) \(rows.shape)")
    let width = table.shape.width
    let y = Tensor(uninitialized: [rows.shape.count, width], on: self)
    parallel(rows.shape.count, grain: Self.rowGrain(width)) { [self] range in
      for t in range {
        let row = Int(rows.int32s[t])
        require(
          row >= 0 && row < table.shape.rows, "gatherRows: row \(row) of table \(table.shape)")
        copyFloats(table, from: row * width, count: width, to: y.floats + t * width)
      }
    }
    return y
  }

  package func scatterAddRows(_ x: Tensor, _ rows: Tensor, count: Int) -> Tensor {
    require(
      x.shape.dimensions.count == 2 && rows.shape.count == x.shape.rows && rows.dtype == .int32,
      "scatterAddRows: x \(x.shape), rows \(rows.dtype) \(rows.shape)")
    let width = x.shape.width
    let y = zeros([count, width], .float32)
    // Several rows may go to the same place, so threads share columns and not rows.
    parallel(width, grain: 64) { [self] columns in
      for t in 0..<x.shape.rows {
        let row = Int(rows.int32s[t])
        require(row >= 0 && row < count, "scatterAddRows: row \(row) of \(count)")
        let sum = y.floats + row * width + columns.lowerBound
        kernels.elementwise.add(
          sum, x.floats + t * width + columns.lowerBound, sum, Int64(columns.count))
      }
    }
    return y
  }

  package func splitColumns(_ x: Tensor, _ widths: [Int]) -> [Tensor] {
    let width = x.shape.width
    require(
      x.shape.dimensions.count == 2 && widths.reduce(0, +) == width,
      "splitColumns: \(x.shape) into \(widths)")
    let parts = widths.map { Tensor(uninitialized: [x.shape.rows, $0], on: self) }
    parallel(x.shape.rows, grain: Self.rowGrain(width)) { range in
      for t in range {
        var source = x.floats + t * width
        for part in parts {
          (part.floats + t * part.shape.width).update(from: source, count: part.shape.width)
          source += part.shape.width
        }
      }
    }
    return parts
  }

  package func joinColumns(_ parts: [Tensor?], widths: [Int]) -> Tensor {
    let rows = parts.lazy.compactMap { $0 }.first?.shape.rows
    guard let rows else { fatalError("joinColumns: no part of \(widths) is given") }
    require(
      parts.count == widths.count
        && zip(parts, widths).allSatisfy { $0.map(\.shape) ?? [rows, $1] == [rows, $1] },
      "joinColumns: \(parts.map { $0?.shape.description ?? "nil" }) to \(widths)")
    let width = widths.reduce(0, +)
    let y = Tensor(uninitialized: [rows, width], on: self)
    parallel(rows, grain: Self.rowGrain(width)) { range in
      for t in range {
        var row = y.floats + t * width
        for (part, partWidth) in zip(parts, widths) {
          if let part {
            row.update(from: part.floats + t * partWidth, count: partWidth)
          } else {
            row.update(repeating: 0, count: partWidth)
          }
          row += partWidth
        }
      }
    }
    return y
  }

  package func sumRows(_ x: Tensor) -> Tensor {
    require(x.shape.dimensions.count == 2, "sumRows: \(x.shape)")
    let width = x.shape.width
    return summingBlocks(rows: x.shape.rows, width: width) { [self] rows, sum in
      kernels.elementwise.add_rows(
        x.floats + rows.lowerBound * width, Int64(rows.count), Int64(width), Int64(width), sum)
    }
  }

  /// Float32 [width]: what `body` adds to zeros for each block of rows, added up in the blocks'
  /// order, so that threads do not change the result.
  func summingBlocks(
    rows: Int, width: Int,
    _ body: @Sendable (_ rows: Range<Int>, _ sum: UnsafeMutablePointer<Float>) -> Void
  ) -> Tensor {
    let grain = Self.sumGrain(width)
    let blocks = zeros([(rows + grain - 1) / grain, width], .float32)
    parallel(rows, grain: grain) { range in
      body(range, blocks.floats + range.lowerBound / grain * width)
    }
    guard blocks.shape.rows != 1 else { return blocks.reshaped([width]) }
    let sum = zeros([width], .float32)
    addRows(blocks, 0..<blocks.shape.rows, to: sum)
    return sum
  }

  /// sum [D] += the rows `rows` of x [T, D], in order.
  func addRows(_ x: Tensor, _ rows: Range<Int>, to sum: Tensor) {
    let width = x.shape.width
    parallel(width, grain: Self.elementGrain / 8) { [self] columns in
      let first = x.floats + rows.lowerBound * width + columns.lowerBound
      kernels.elementwise.add_rows(
        first, Int64(rows.count), Int64(width), Int64(columns.count),
        sum.floats + columns.lowerBound)
    }
  }
}
