import MaTVLMTensor

/// The matrices of a scan, one for each head and sequence: row l of a head's result is
/// Σ over s ≤ l of M[l, s] · (row s of its values), with
/// M[l, s] = C_l · B_s · exp(Σ over s < r ≤ l of Δ_r A) · Δ_s, and d added on the diagonal
/// (Dao and Gu 2024, arXiv:2405.21060; specification D.1).
package struct ScanMatrices: Sendable {
  /// What the scan takes; its values x play no part.
  let inputs: StateSpaceInputs
  let geometry: StateSpaceGeometry

  package init(_ inputs: StateSpaceInputs, _ geometry: StateSpaceGeometry) {
    (self.inputs, self.geometry) = (inputs, geometry)
  }

  /// What gradients flow into.
  var sources: [Tensor] {
    [inputs.b, inputs.c, inputs.dt]
      + [inputs.dtBias, inputs.aLog, inputs.d].map { $0.reshaped([1, geometry.heads]) }
  }

  /// Columns of the matrices of some heads.
  ///
  /// - Parameters:
  ///   - sources: as ``sources``.
  ///   - heads: bounds are multiples of the heads that share B.
  ///   - block: which columns.
  /// - Returns: [T, heads · width]
  func columns(_ sources: [Tensor], _ heads: Range<Int>, _ block: ColumnBlock) -> Tensor {
    let shared = geometry.heads / geometry.groups
    let groups = heads.lowerBound / shared..<heads.upperBound / shared
    func vector(_ x: Tensor) -> Tensor {
      x.columns(heads, each: 1).reshaped([heads.count])
    }
    let part = StateSpaceInputs(
      x: block.identity(times: groups.count, like: sources[0]),
      b: sources[0].columns(groups, each: geometry.stateWidth),
      c: sources[1].columns(heads, each: geometry.stateWidth),
      dt: sources[2].columns(heads, each: 1), dtBias: vector(sources[3]),
      aLog: vector(sources[4]), d: vector(sources[5]))
    return stateSpaceDuality(
      part,
      StateSpaceGeometry(
        heads: heads.count, groups: groups.count, headWidth: block.width,
        stateWidth: geometry.stateWidth, chunk: geometry.chunk), block.segments)
  }
}

/// The matrices softmax(scale · q kᵀ) of causal attention, one for each head and sequence.
package struct AttentionMatrices: Sendable {
  /// Rotated: [T, H · P]
  let query: Tensor
  /// Rotated: [T, G · P]
  let key: Tensor
  let geometry: AttentionGeometry

  package init(query: Tensor, key: Tensor, _ geometry: AttentionGeometry) {
    (self.query, self.key, self.geometry) = (query, key, geometry)
  }

  /// As ``ScanMatrices/columns(_:_:_:)``.
  func columns(_ heads: Range<Int>, _ block: ColumnBlock) -> Tensor {
    let shared = geometry.heads / geometry.keyValueHeads
    let groups = heads.lowerBound / shared..<heads.upperBound / shared
    return attention(
      query.columns(heads, each: geometry.headWidth),
      key.columns(groups, each: geometry.headWidth),
      block.identity(times: groups.count, like: key),
      AttentionGeometry(
        heads: heads.count, keyValueHeads: groups.count, headWidth: geometry.headWidth,
        scale: geometry.scale, isCausal: true), block.segments)
  }
}

/// Some columns of the matrices of packed sequences. Mixing is linear in the values, so the columns
/// are what it makes of columns of the identity: no operation of their own is needed.
struct ColumnBlock {
  let segments: Segments
  /// The first column.
  let start: Int
  let width: Int

  /// Row t of a sequence has a 1 in column t − start, if there is one: [T, count · width].
  func identity(times count: Int, like other: Tensor) -> Tensor {
    var values = [Float](repeating: 0, count: segments.rows * count * width)
    for (row, position) in segments.positions.enumerated()
    where (start..<start + width).contains(position) {
      for copy in 0..<count {
        values[(row * count + copy) * width + position - start] = 1
      }
    }
    let identity = Tensor(values, [segments.rows, count * width], on: other.device)
    return other.dtype == .float32 ? identity : other.backend.convert(identity, to: other.dtype)
  }
}

extension Tensor {
  /// The columns of some heads: [T, heads.count · width].
  fileprivate func columns(_ heads: Range<Int>, each width: Int) -> Tensor {
    let (before, own) = (heads.lowerBound * width, heads.count * width)
    let after = shape.width - before - own
    guard before > 0 || after > 0 else { return self }
    return splitColumns(self, [before, own, after].filter { $0 > 0 })[before > 0 ? 1 : 0]
  }
}
