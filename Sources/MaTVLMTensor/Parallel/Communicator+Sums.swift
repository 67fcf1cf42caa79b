extension Communicator {
  /// Through the host's memory: what a device does that has nothing faster.
  public func sum(_ tensors: [Tensor]) -> [Tensor] {
    groups(tensors).flatMap { group in
      var sums = sum(group.flatMap { $0.array() })[...]
      return group.map { tensor in
        let own = Array(sums.prefix(tensor.shape.count))
        sums = sums.dropFirst(tensor.shape.count)
        return Tensor(own, tensor.shape, on: tensor.device)
      }
    }
  }

  /// Everything at the end: what a device does that cannot send while it computes.
  public func beginSum() -> any PendingSum { SumAtTheEnd(over: self) }

  /// Σ over the ranks of each value, in pieces that bound what is in memory.
  package func sum(_ values: [Float]) -> [Float] {
    stride(from: 0, to: values.count, by: piece).flatMap { start in
      sumPiece(Array(values[start..<min(values.count, start + piece)]))
    }
  }

  /// Each rank adds one part up, in rank order whatever comes first, and gives it to all: the work of
  /// a reduce-scatter, whose own order MPI leaves open.
  private func sumPiece(_ values: [Float]) -> [Float] {
    let parts = (0..<size).map { Array(values[part($0, of: values.count)]) }
    let received = allToAll(parts)
    var sum = received[0]
    for other in received.dropFirst() {
      for index in sum.indices { sum[index] += other[index] }
    }
    return allGather(sum).flatMap(\.self)
  }

  private var piece: Int { 1 << 22 }

  /// Consecutive tensors that fit a piece; a larger one is a group of its own.
  private func groups(_ tensors: [Tensor]) -> [[Tensor]] {
    var groups: [[Tensor]] = []
    var room = 0
    for tensor in tensors {
      if tensor.shape.count <= room, !groups.isEmpty {
        groups[groups.count - 1].append(tensor)
      } else {
        groups.append([tensor])
        room = piece
      }
      room -= tensor.shape.count
    }
    return groups
  }
}
