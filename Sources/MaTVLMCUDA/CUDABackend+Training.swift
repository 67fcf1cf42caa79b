import MaTVLMTensor

extension CUDABackend {
  package func sumOfSquares(_ tensors: [Tensor]) -> Tensor {
    let sum = empty([1], .float32)
    let shares = tensors.map { min(256, max(1, ($0.shape.count + 4095) / 4096)) }
    let partials = empty([max(1, shares.reduce(0, +)), 2], .float32)  // doubles
    var offset = 0
    for (tensor, share) in zip(tensors, shares) {
      launch(
        .reductions, "squares", tensor.dtype, grid: Grid(share),
        [
          .address(partials.address + UInt64(8 * offset)), .tensor(tensor),
          .int64(tensor.shape.count),
        ])
      offset += share
    }
    launch(
      .reductions, "total", .float32, grid: Grid(1),
      [.tensor(sum), .tensor(partials), .int32(offset)])
    return sum
  }

  package func adamW(_ updates: [AdamWUpdate], _ step: AdamWStep) {
    let share = 4096  // ADAMW_SHARE
    var words: [UInt64] = []
    var blocks = 0
    for update in updates where update.value.shape.count > 0 {
      let parts = [update.value, update.gradient, update.firstMoment, update.secondMoment]
      require(
        parts.allSatisfy { $0.shape == update.value.shape && $0.dtype == .float32 },
        "adamW: value, gradient and moments \(parts.map(\.shape))")
      let count = update.value.shape.count
      words += parts.map(\.address)
      words.append(UInt64(blocks))
      words.append(UInt64(count) | UInt64(update.weightDecay.bitPattern) << 32)
      blocks += (count + share - 1) / share
    }
    guard blocks > 0 else { return }
    for update in updates { forget(update.value.address) }
    let updateTable = Storage(self, byteCount: 8 * words.count)
    words.withUnsafeBytes { write($0, to: updateTable.memory, at: 0) }
    launch(
      .reductions, "adamW", .float32, grid: Grid(blocks),
      [
        .address(UInt64(updateTable.memory.bits)), .int32(words.count / 6),
        .float(step.learningRate), .float(step.beta1), .float(step.beta2), .float(step.epsilon),
        .float(step.correction1), .float(step.correction2), .float(step.gradientScale),
      ])
  }
}
