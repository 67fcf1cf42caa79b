import MaTVLMTensor

extension CUDABackend {
  package func layerNorm(
    _ x: Tensor, _ weight: Tensor, _ bias: Tensor, epsilon: Float
  ) -> Tensor {
    let y = empty(x.shape, x.dtype)
    let (rows, width) = (x.shape.rows, x.shape.width)
    let tensors: [KernelArgument] = [.tensor(y), .tensor(x), .tensor(weight), .tensor(bias)]
    let lanes = 16 / x.dtype.byteCount
    let keptPacks = 12  // KEPT of norms.cu, for each of 32 lanes
    if rows <= 32, width % lanes == 0, width <= 1024 * lanes {
      launch(
        KernelSource(.norms, x.dtype), "layerNormOfBlock", grid: Grid(rows),
        block: (width / lanes + 31) / 32 * 32, overlaps: settle([weight, bias]),
        tensors + [.int32(width), .float(epsilon)])
    } else if width % lanes == 0, width <= 32 * keptPacks * lanes {
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

  package func layerNormGradient(
    _ dy: Tensor, _ x: Tensor, _ weight: Tensor, epsilon: Float, parameters: Bool
  ) -> (x: Tensor, weight: Tensor?, bias: Tensor?) {
    let (rows, width) = (x.shape.rows, x.shape.width)
    let type = sharedType("layerNormGradient", dy, x)
    let dx = empty(x.shape, type)
    let statistics = empty([rows, 2], .float32)
    launch(
      .norms, "layerNormGradient", type, grid: Grid(rows),
      [
        .tensor(dx), .tensor(statistics), .tensor(dy), .tensor(x), .tensor(weight),
        .int32(width), .float(epsilon),
      ])
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

  package func gatedRMSNorm(
    _ x: Tensor, gate: Tensor, _ weight: Tensor, groupWidth: Int, epsilon: Float
  ) -> Tensor {
    let (rows, width) = (x.shape.rows, x.shape.width)
    require(
      gate.shape == x.shape && width % groupWidth == 0,
      "gatedRMSNorm: x \(x.shape), gate \(gate.shape), groups of \(groupWidth)")
    let y = empty(x.shape, sharedType("gatedRMSNorm", x, gate))
    let groups = rows * (width / groupWidth)
    launch(
      .norms, "gatedRMSNorm", x.dtype, grid: Grid((groups + 7) / 8),
      [
        .tensor(y), .tensor(x), .tensor(gate), .tensor(weight), .int64(groups), .int32(width),
        .int32(groupWidth), .float(epsilon),
      ])
    return y
  }

  package func gatedRMSNormGradient(
    _ dy: Tensor, _ x: Tensor, gate: Tensor, _ weight: Tensor, groupWidth: Int, epsilon: Float
  ) -> (x: Tensor, gate: Tensor, weight: Tensor) {
    let (rows, width) = (x.shape.rows, x.shape.width)
    let type = sharedType("gatedRMSNormGradient", dy, x, gate)
    let dx = empty(x.shape, type)
    let dGate = empty(x.shape, type)
    let inverses = empty([rows, width / groupWidth], .float32)
    let groups = rows * (width / groupWidth)
    launch(
      .norms, "gatedRMSNormGradient", type, grid: Grid((groups + 7) / 8),
      [
        .tensor(dx), .tensor(dGate), .tensor(inverses), .tensor(dy), .tensor(x), .tensor(gate),
        .tensor(weight), .int64(groups), .int32(width), .int32(groupWidth), .float(epsilon),
      ])
    let slab = Self.slab(rows)
    let slabs = (rows + slab - 1) / slab
    let dWeight = empty([slabs, width], .float32)
    launch(
      .norms, "gatedRMSNormParameterGradient", type, grid: Grid((width + 255) / 256, slabs),
      [
        .tensor(dWeight), .tensor(dy), .tensor(x), .tensor(gate), .tensor(inverses),
        .int32(rows), .int32(width), .int32(groupWidth), .int32(slab),
      ])
    return (dx, dGate, sumRows(dWeight))
  }
}
