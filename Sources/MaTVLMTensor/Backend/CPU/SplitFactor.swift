import CMaTVLMKernels

/// A left factor of float32 as sums of three bfloat16, exactly, in tiles of 16 lines by 32 of depth.
struct SplitFactor: Sendable {
  /// Floats' worth of tiles [lines / 16, depth / 32, 3].
  private let tiles: Tensor
  private let depth: Int

  /// Lines of a tile.
  static let lines = 16

  /// Nil where the processor has no tiles.
  /// - Parameter isTurned: the matrix's columns are the lines of the factor, in place of its rows.
  init?(_ matrix: FloatRows, isTurned: Bool = false, on backend: CPUBackend) {
    guard let kernel = backend.kernels.product.split_left else { return nil }
    let (lines, depth) =
      isTurned ? (matrix.width, matrix.count) : (matrix.count, matrix.width)
    let (line, step) = isTurned ? (1, matrix.width) : (matrix.width, 1)
    let tiles = Tensor(uninitialized: [matvlm_factor_size(lines, depth)], on: backend)
    backend.parallel(lines, grain: 4 * Self.lines) { range in
      kernel(
        matrix.row(0) + range.lowerBound * line, line, step, range.count, depth,
        tiles.floats + matvlm_factor_size(range.lowerBound, depth))
    }
    (self.tiles, self.depth) = (tiles, depth)
  }

  /// The tiles from a line on, a multiple of ``lines``.
  func line(_ first: Int) -> UnsafeMutablePointer<Float> {
    tiles.floats + matvlm_factor_size(first, depth)
  }
}

extension CPUBackend {
  /// The largest tile of a product of split factors: weights are split anew for each.
  static let splitTile = (rows: 1024, columns: 256)

  typealias SplitProductKernel =
    @convention(c) (
      UnsafePointer<matvlm_product>, UnsafePointer<Float>, UnsafeMutablePointer<Float>
    ) -> Void

  /// What multiplies a left factor that is split with weights of a type; nil where the processor or we have nothing
  /// for them.
  func splitKernel(_ type: DType) -> SplitProductKernel? {
    switch type {
    case .float32: kernels.product.split_with_floats
    case .bfloat16: kernels.product.split_with_bf16
    case .float16: kernels.product.split_with_f16
    case .int32, .quantized: nil
    }
  }

  /// - Parameter left: where ``SplitFactor/line(_:)`` says.
  func run(
    _ product: inout matvlm_product, _ kernel: SplitProductKernel, _ left: UnsafePointer<Float>,
    _ right: UnsafeRawPointer
  ) {
    product.right = right
    withScratch(matvlm_split_scratch(product.columns, product.depth)) {
      kernel(&product, left, $0)
    }
  }
}
