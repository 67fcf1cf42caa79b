import MaTVLMTensor

/// Σ over sequences of the mean over heads of ‖scan's matrix − attention's matrix‖, the Frobenius
/// norm: one element, with history.
///
/// A matrix has as many numbers as a sequence has pairs of rows, so only the matrices of a few heads
/// exist at a time, and their gradient is taken before those of the next heads are made.
/// - Parameter largestPart: numbers of the matrices that exist at a time, if one head allows it.
/// - Precondition: scan and attention have the same heads.
package func matrixDistance(
  _ scan: ScanMatrices, _ attention: AttentionMatrices, _ segments: Segments,
  largestPart: Int = 1 << 23
) -> Tensor {
  let heads = scan.geometry.heads
  require(
    heads == attention.geometry.heads,
    "matrixDistance: \(heads) heads of a scan, \(attention.geometry.heads) of attention")
  let layout = MatrixLayout(segments, blockWidth: attention.geometry.headWidth)
  let parts = layout.parts(
    of: heads,
    sharing: [heads / scan.geometry.groups, heads / attention.geometry.keyValueHeads],
    largest: largestPart)
  return summing(parts.count, scan.sources) { sources, part in
    let own = parts[part]
    let output = layout.rows(own.count) { scan.columns(sources, own, $0) }
    let target = withoutGradients { layout.rows(own.count) { attention.columns(own, $0) } }
    let weights = Array(repeating: 1 / Float(heads), count: segments.count * own.count)
    return distance(
      output, to: target, layout.norms(own.count),
      weights: Tensor(weights, [weights.count], on: output.device)
    ).total
  }
}

/// How the lower triangles of the matrices of packed sequences lie in rows of a few columns each:
/// sequence by sequence, head by head, row by row.
private struct MatrixLayout {
  private let segments: Segments
  private let width: Int
  private let blocks: [ColumnBlock]

  init(_ segments: Segments, blockWidth: Int) {
    (self.segments, width) = (segments, blockWidth)
    let longest = segments.lengths.max() ?? 0
    blocks = stride(from: 0, to: max(1, longest), by: blockWidth).map {
      ColumnBlock(segments: segments, start: $0, width: blockWidth)
    }
  }

  /// Cuts the heads; heads that share a key stay together.
  func parts(of heads: Int, sharing shared: [Int], largest: Int) -> [Range<Int>] {
    let unit = (1...heads).first { unit in
      heads % unit == 0 && shared.allSatisfy { unit % $0 == 0 }
    }!
    let perHead = max(1, segments.rows * blocks.count * width)
    let count = max(unit, largest / perHead / unit * unit)
    return stride(from: 0, to: heads, by: count).map { $0..<min($0 + count, heads) }
  }

  /// The matrices of so many heads, whose columns `columns` makes: [rows of all triangles, width].
  func rows(_ heads: Int, _ columns: (ColumnBlock) -> Tensor) -> Tensor {
    let all = joinColumns(blocks.map(columns))  // [T, blocks · heads · width]
    return gatherRows(
      all.reshaped([segments.rows * blocks.count * heads, width]),
      Tensor(indices: order(heads), on: all.device))
  }

  /// Which rows belong to the same norm.
  func norms(_ heads: Int) -> Segments {
    Segments(
      segments.lengths.flatMap { length in
        Array(repeating: (0..<length).reduce(0) { $0 + $1 / width + 1 }, count: heads)
      })
  }

  /// Blocks to the right of the diagonal are left out: they are zero on both sides.
  private func order(_ heads: Int) -> [Int] {
    zip(segments.starts, segments.lengths).flatMap { start, length in
      (0..<heads).flatMap { head in
        (0..<length).flatMap { position in
          (0...position / width).map { block in
            ((start + position) * blocks.count + block) * heads + head
          }
        }
      }
    }
  }
}
