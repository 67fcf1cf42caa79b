import CMaTVLMKernels

/// A left factor of float32 in tiles of bfloat16, 16 lines by 32 of depth: each number is a sum of three, exactly, or
/// is rounded to one.
struct TileFactor: Sendable {
  let isRounded: Bool
  /// Floats' worth of tiles [lines / 16, depth / 32, parts].
  private let tiles: Tensor
  private let depth: Int

  /// Lines of a tile.
  private static let lines = 16

  /// Each number as a sum.
  /// - Parameter isTurned: the matrix's columns are the lines of the factor, in place of its rows.
  init(splitting matrix: FloatRows, isTurned: Bool = false, on backend: CPUBackend) {
    let (lines, depth) =
      isTurned ? (matrix.width, matrix.count) : (matrix.count, matrix.width)
    let (line, step) = isTurned ? (1, matrix.width) : (matrix.width, 1)
    self.init(isRounded: false, lines: lines, depth: depth, on: backend) { first, count, tiles in
      backend.kernels.product.split_left!(
        matrix.row(0) + first * line, line, step, count, depth, tiles)
    }
  }

  /// Each number rounded; the matrix's rows are the lines of the factor.
  init(rounding matrix: FloatRows, on backend: CPUBackend) {
    let (count, width) = (matrix.count, matrix.width)
    self.init(isRounded: true, lines: count, depth: width, on: backend) { first, count, tiles in
      backend.kernels.product.round_left!(matrix.row(first), width, count, width, tiles)
    }
  }

  private init(
    isRounded: Bool, lines: Int, depth: Int, on backend: CPUBackend,
    fill: @Sendable (_ first: Int, _ count: Int, UnsafeMutablePointer<Float>) -> Void
  ) {
    (self.isRounded, self.depth) = (isRounded, depth)
    let size = matvlm_factor_size(lines, depth, Self.parts(isRounded))
    tiles = Tensor(uninitialized: [size], on: backend)
    let factor = self
    backend.parallel(lines, grain: 4 * Self.lines) {
      fill($0.lowerBound, $0.count, factor.line($0.lowerBound))
    }
  }

  /// The tiles from a line on, a multiple of ``lines``.
  func line(_ first: Int) -> UnsafeMutablePointer<Float> {
    tiles.floats + matvlm_factor_size(first, depth, Self.parts(isRounded))
  }

  static func byteCount(lines: Int, depth: Int, isRounded: Bool) -> Int {
    matvlm_factor_size(lines, depth, parts(isRounded)) * DType.float32.byteCount
  }

  private static func parts(_ isRounded: Bool) -> Int {
    isRounded ? 1 : Int(MATVLM_FLOAT_PARTS)
  }
}

extension CPUBackend {
  /// The largest part of a product of tiles: weights are put into them anew for each.
  static let tiledPart = (rows: 1024, columns: 256)

  typealias TileProductKernel =
    @convention(c) (
      UnsafePointer<matvlm_product>, UnsafePointer<Float>, UnsafeMutablePointer<Float>
    ) -> Void

  /// What multiplies a left factor in tiles with weights of a type; nil where the processor or we have nothing for
  /// them.
  func tileKernel(_ type: DType, isRounded: Bool) -> TileProductKernel? {
    if isRounded { return type == .bfloat16 ? kernels.product.rounded_with_bf16 : nil }
    return switch type {
    case .float32: kernels.product.split_with_floats
    case .bfloat16: kernels.product.split_with_bf16
    case .float16: kernels.product.split_with_f16
    case .int32, .quantized: nil
    }
  }

  /// - Parameter left: where ``TileFactor/line(_:)`` says.
  func run(
    _ product: inout matvlm_product, _ kernel: TileProductKernel, _ left: UnsafePointer<Float>,
    _ right: UnsafeRawPointer
  ) {
    product.right = right
    withScratch(matvlm_tiles_scratch(product.rows, product.columns, product.depth)) {
      kernel(&product, left, $0)
    }
  }
}
