import MaTVLMTensor

extension CUDABackend {
  package func layerNorm(
    _ x: Tensor, _ weight: Tensor, _ bias: Tensor, epsilon: Float
  ) -> Tensor {
    let y = empty(x.shape, x.dtype)
    let (rows, width) = (x.shape.rows, x.shape.width)
    let tensors: [KernelArgument] = [.tensor(y), .tensor(x), .tensor(weight), .tensor(bias)]
    let lanes = 16 / x.dtype.byteCount
    if rows <= 32, width % lanes == 0, width <= 1024 * lanes {
      launch(
        KernelSource(.norms, x.dtype), "layerNormOfBlock", grid: Grid(rows),
        block: (width / lanes + 31) / 32 * 32, overlaps: settle([weight, bias]),
        tensors + [.int32(width), .float(epsilon)])
    } else if fitsWarp(width, x.dtype) {
      launch(
        .norms, "layerNormOfWarp", x.dtype, grid: Grid((rows + 7) / 8),
        tensors + [.int32(rows), .int32(width), .float(epsilon)])
    } else {
      launch(
        .norms, "layerNorm", x.dtype, grid: Grid(rows),
        tensors + [.int32(width), .float(epsilon)])
    }
    return y
  }

  /// Whether the lanes of a warp can keep a row in packs: `KEPT` of norms.cu each.
  private func fitsWarp(_ width: Int, _ type: DType) -> Bool {
    let lanes = 16 / type.byteCount
    return width % lanes == 0 && width <= 32 * 12 * lanes
  }

  package func layerNormGradient(
    _ dy: Tensor, _ x: Tensor, _ weight: Tensor, epsilon: Float, parameters: Bool
  ) -> (x: Tensor, weight: Tensor?, bias: Tensor?) {
    let (rows, width) = (x.shape.rows, x.shape.width)
    let type = sharedType("layerNormGradient", dy, x)
    let dx = empty(x.shape, type)
    let statistics = empty([rows, 2], .float32)
    let tensors = [dx, statistics, dy, x, weight].map { KernelArgument.tensor($0) }
    if fitsWarp(width, type) {
      launch(
        .norms, "layerNormGradientOfWarp", type, grid: Grid((rows + 7) / 8),
        tensors + [.int32(rows), .int32(width), .float(epsilon)])
    } else {
      launch(
        .norms, "layerNormGradient", type, grid: Grid(rows),
        tensors + [.int32(width), .float(epsilon)])
    }
    guard parameters else { return (dx, nil, nil) }
    let slab = Self.slab(rows)
    let slabs = (rows + slab - 1) / slab
    let dWeight = empty([slabs, width], .float32)
    let dBias = empty([slabs, width], .float32)
    launch(
      .norms, "layerNormParameterGradient", type, grid: Grid((width + 255) / 256, slabs),
      [
        .tensor(dWeight), .tensor(dBias), .tensor(dy), .tensor(x), .tensor(statistics),
        .int32(rows), .int32(width), .int32(slab),
      ])
    return (dx, sumRows(dWeight), sumRows(dBias))
  }
}
