import MaTVLMTensor

extension CUDABackend {
  package func gatedRMSNorm(
    _ x: Tensor, gate: Tensor, _ weight: Tensor, groupWidth: Int, epsilon: Float
  ) -> Tensor {
    let width = x.shape.width
    require(
      gate.shape == x.shape && width % groupWidth == 0,
      "gatedRMSNorm: x \(x.shape), gate \(gate.shape), groups of \(groupWidth)")
    let y = empty(x.shape, sharedType("gatedRMSNorm", x, gate))
    let packs = packs(of: groupWidth, x.dtype)
    launchGroups(
      packs == nil ? "gatedRMSNorm" : "gatedRMSNormPacks", x, groupWidth, epsilon,
      together: packs.map { 32 / $0 } ?? 1,
      [.tensor(y), .tensor(x), .tensor(gate), .tensor(weight)])
    return y
  }

  package func gatedRMSNormGradient(
    _ dy: Tensor, _ x: Tensor, gate: Tensor, _ weight: Tensor, groupWidth: Int, epsilon: Float
  ) -> (x: Tensor, gate: Tensor, weight: Tensor) {
    let type = sharedType("gatedRMSNormGradient", dy, x, gate)
    let dx = empty(x.shape, type)
    let dGate = empty(x.shape, type)
    let dWeight =
      packs(of: groupWidth, type) == nil
      ? gradientByGroups(dx, dGate, dy, x, gate, weight, groupWidth, epsilon)
      : gradientInPacks(dx, dGate, dy, x, gate, weight, groupWidth, epsilon)
    return (dx, dGate, sumRows(dWeight))
  }

  // MARK: Kernels

  /// Writes the gradients of rows and gates.
  /// - Returns: sums of the weight's over slabs of rows, float32 [slabs, D].
  private func gradientInPacks(
    _ dx: Tensor, _ dGate: Tensor, _ dy: Tensor, _ x: Tensor, _ gate: Tensor, _ weight: Tensor,
    _ groupWidth: Int, _ epsilon: Float
  ) -> Tensor {
    let (rows, width) = (x.shape.rows, x.shape.width)
    let slabs = (rows + 15) / 16  // GRADIENT_ROWS of gated_norm.cu
    let together = 32 / packs(of: groupWidth, x.dtype)!
    let warps = slabs * ((width / groupWidth + together - 1) / together)
    let dWeight = empty([slabs, width], .float32)
    launch(
      .gatedNorm, "gatedRMSNormGradientPacks", x.dtype, grid: Grid((warps + 7) / 8),
      [dx, dGate, dWeight, dy, x, gate, weight].map { .tensor($0) }
        + [.int32(rows), .int32(width), .int32(groupWidth), .float(epsilon)])
    return dWeight
  }

  /// The same for groups of any width.
  private func gradientByGroups(
    _ dx: Tensor, _ dGate: Tensor, _ dy: Tensor, _ x: Tensor, _ gate: Tensor, _ weight: Tensor,
    _ groupWidth: Int, _ epsilon: Float
  ) -> Tensor {
    let (rows, width) = (x.shape.rows, x.shape.width)
    let inverses = empty([rows, width / groupWidth], .float32)
    launchGroups(
      "gatedRMSNormGradient", x, groupWidth, epsilon, together: 1,
      [dx, dGate, inverses, dy, x, gate, weight].map { .tensor($0) })
    let slab = Self.slab(rows)
    let slabs = (rows + slab - 1) / slab
    let dWeight = empty([slabs, width], .float32)
    launch(
      .gatedNorm, "gatedRMSNormParameterGradient", x.dtype, grid: Grid((width + 255) / 256, slabs),
      [
        .tensor(dWeight), .tensor(dy), .tensor(x), .tensor(gate), .tensor(inverses),
        .int32(rows), .int32(width), .int32(groupWidth), .int32(slab),
      ])
    return dWeight
  }

  /// Queues a kernel of which a warp has so many groups.
  private func launchGroups(
    _ name: String, _ x: Tensor, _ groupWidth: Int, _ epsilon: Float, together: Int,
    _ tensors: [KernelArgument]
  ) {
    let count = x.shape.count / groupWidth
    launch(
      .gatedNorm, name, x.dtype, grid: Grid((count + 8 * together - 1) / (8 * together)),
      tensors + [.int64(count), .int32(x.shape.width), .int32(groupWidth), .float(epsilon)])
  }

  /// How many times sixteen bytes a group has, if these are whole and a warp's lanes at most.
  private func packs(of groupWidth: Int, _ type: DType) -> Int? {
    let lanes = 16 / type.byteCount
    return groupWidth % lanes == 0 && groupWidth <= 32 * lanes ? groupWidth / lanes : nil
  }
}
