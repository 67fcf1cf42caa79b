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
    launchGroups(
      "gatedRMSNorm", x, groupWidth, epsilon,
      [.tensor(y), .tensor(x), .tensor(gate), .tensor(weight)])
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
    launchGroups(
      "gatedRMSNormGradient", x, groupWidth, epsilon,
      [dx, dGate, inverses, dy, x, gate, weight].map { .tensor($0) })
    let slab = Self.slab(rows)
    let slabs = (rows + slab - 1) / slab
    let dWeight = empty([slabs, width], .float32)
    launch(
      .gatedNorm, "gatedRMSNormParameterGradient", type, grid: Grid((width + 255) / 256, slabs),
      [
        .tensor(dWeight), .tensor(dy), .tensor(x), .tensor(gate), .tensor(inverses),
        .int32(rows), .int32(width), .int32(groupWidth), .int32(slab),
      ])
    return (dx, dGate, sumRows(dWeight))
  }

  /// Queues a kernel that takes a group at a time, or its sibling for groups of whole packs.
  private func launchGroups(
    _ name: String, _ x: Tensor, _ groupWidth: Int, _ epsilon: Float, _ tensors: [KernelArgument]
  ) {
    let count = x.shape.count / groupWidth
    let lanes = 16 / x.dtype.byteCount
    let arePacks = groupWidth % lanes == 0 && groupWidth <= 32 * lanes
    let groupsOfWarp = arePacks ? 32 / (groupWidth / lanes) : 1
    let groupsOfBlock = 8 * groupsOfWarp
    launch(
      .gatedNorm, arePacks ? name + "Packs" : name, x.dtype,
      grid: Grid((count + groupsOfBlock - 1) / groupsOfBlock),
      tensors + [.int64(count), .int32(x.shape.width), .int32(groupWidth), .float(epsilon)])
  }
}
