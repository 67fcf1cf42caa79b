import Foundation
import MaTVLMTensor

/// Sequences and heads of one case.
struct AttentionExtent {
  let lengths: [Int]
  let heads, keyValueHeads, headWidth: Int
  var sharpness = 1.0

  func geometry(isCausal: Bool) -> AttentionGeometry {
    AttentionGeometry(
      heads: heads, keyValueHeads: keyValueHeads, headWidth: headWidth,
      scale: Float(sharpness / Double(headWidth).squareRoot()), isCausal: isCausal)
  }

  var queryWidth: Int { heads * headWidth }
  var keyWidth: Int { keyValueHeads * headWidth }
}

extension OperationCase {
  static let rotations: [OperationCase] = [
    (0, 2, 8, 4), (1, 1, 8, 8), (7, 3, 80, 32), (5, 2, 16, 2), (37, 4, 20, 8),
  ].flatMap { count, heads, headWidth, width in
    [false, true].map { inverse in
      OperationCase(
        "rotate \(width) of \(headWidth), \(heads) heads, \(count) rows, "
          + (inverse ? "back" : "forth"),
        .fewRoundings
      ) { inputs in
        let x = inputs.activations([count, heads * headWidth])
        let positions = inputs.indices(count, below: 50)
        let angles = (0..<50 * width / 2).map { Double($0) * 0.37 }
        let table = (0..<50).flatMap { position in
          let own = angles[position * width / 2..<(position + 1) * width / 2]
          return own.map { cos($0) } + own.map { sin($0) }
        }
        let turned = inputs.backend.rotate(
          x, inputs.fixed(table, [50, width]), positions: positions, heads: heads,
          inverse: inverse)
        return [.activation("y", turned)]
      }
    }
  }

  private static let extents = [
    AttentionExtent(lengths: [0], heads: 2, keyValueHeads: 2, headWidth: 16),
    AttentionExtent(lengths: [1], heads: 1, keyValueHeads: 1, headWidth: 16),
    AttentionExtent(lengths: [7], heads: 4, keyValueHeads: 2, headWidth: 16),
    AttentionExtent(lengths: [5, 0, 9], heads: 2, keyValueHeads: 2, headWidth: 80),
    AttentionExtent(lengths: [37], heads: 3, keyValueHeads: 1, headWidth: 72),
    AttentionExtent(lengths: [64, 65], heads: 2, keyValueHeads: 1, headWidth: 80),
    AttentionExtent(lengths: [1, 1, 1, 130], heads: 4, keyValueHeads: 4, headWidth: 16),
    AttentionExtent(lengths: [300], heads: 2, keyValueHeads: 2, headWidth: 5),
    AttentionExtent(lengths: [33], heads: 2, keyValueHeads: 2, headWidth: 16, sharpness: 30),
    AttentionExtent(lengths: [200, 130], heads: 4, keyValueHeads: 2, headWidth: 80, sharpness: 30),
    AttentionExtent(lengths: [321], heads: 2, keyValueHeads: 2, headWidth: 72),
  ]

  static let attention: [OperationCase] = extents.flatMap { extent in
    [true, false].map { isCausal in
      let kind = isCausal ? "causal" : "full"
      let name =
        "attention \(extent.lengths), \(extent.heads)/\(extent.keyValueHeads) heads of "
        + "\(extent.headWidth), \(kind), sharpness \(extent.sharpness)"
      return OperationCase(name, .chain) { inputs in
        let segments = Segments(extent.lengths)
        let geometry = extent.geometry(isCausal: isCausal)
        let q = inputs.activations([segments.rows, extent.queryWidth])
        let k = inputs.activations([segments.rows, extent.keyWidth])
        let v = inputs.activations([segments.rows, extent.keyWidth])
        let dy = inputs.activations(q.shape)
        let backend = inputs.backend
        let (output, logSumExp) = backend.attention(q, k, v, geometry, segments)
        let gradient = backend.attentionGradient(
          dy, q, k, v, output: output, logSumExp: logSumExp, geometry, segments)
        return [
          .activation("output", output), .float32("logSumExp", logSumExp),
          .activation("dq", gradient.q), .activation("dk", gradient.k),
          .activation("dv", gradient.v),
        ]
      }
    }
  }

  /// Prompts in pieces, then single rows, for two sequences that advance unequally.
  private static let pieces = [[5, 3], [1, 1], [0, 1], [33, 0], [1, 20], [1, 1]]

  static let cachedAttention: [OperationCase] =
    [(4, 2, 16), (2, 2, 80), (3, 1, 72), (1, 1, 5)].flatMap { heads, keyValueHeads, headWidth in
      let name = "cachedAttention \(heads)/\(keyValueHeads) heads of \(headWidth), in pieces"
      let extent = AttentionExtent(
        lengths: [], heads: heads, keyValueHeads: keyValueHeads, headWidth: headWidth)
      return [nil, DType.bfloat16].map { type in
        OperationCase(name + (type.map { ", \($0)" } ?? ""), .chain, cacheType: type) { inputs in
          decoded(extent, type, &inputs)
        }
      }
    }
    + [(4, 2, 16, 8), (2, 2, 80, 32), (3, 1, 72, 2)].map {
      heads, keyValueHeads, headWidth, rotary in
      let name =
        "cachedAttention appending, \(heads)/\(keyValueHeads) heads of \(headWidth), "
        + "\(rotary) of them turned"
      let extent = AttentionExtent(
        lengths: [], heads: heads, keyValueHeads: keyValueHeads, headWidth: headWidth)
      return OperationCase(name, .chain) { inputs in appended(extent, rotary: rotary, &inputs) }
    }
    + [nil, DType.bfloat16].map { type in
      let name = "cachedAttention 12/12 heads of 16, one row after many"
      return OperationCase(name + (type.map { ", \($0)" } ?? ""), .chain, cacheType: type) {
        afterMany(type, &$0)
      }
    } + [
      OperationCase("appendRows", .exact) { inputs in
        let segments = Segments([3, 0, 4])
        let caches = [9, 2, 5].map { inputs.copy(inputs.activations([$0, 7])) }
        let x = inputs.activations([7, 7])
        let positions = inputs.indices([6, 7, 8, 0, 1, 2, 3])
        inputs.backend.appendRows(x, to: caches, positions: positions, segments)
        return caches.enumerated().map { .activation("cache \($0)", $1) }
      },
      OperationCase("appendRows, rounded", .exact, cacheType: .bfloat16) { inputs in
        let segments = Segments([3, 0, 4])
        let caches = [9, 2, 5].map { inputs.emptyCache([$0, 37], .bfloat16) }
        let x = inputs.activations([7, 37])
        let places = [[0, 1, 2, 3, 4, 5, 6, 7, 8], [0, 1], [0, 1, 2, 3, 4]]
        for (cache, rows) in zip(caches, places) {
          let positions = inputs.indices(rows)
          let first = inputs.activations([rows.count, 37])
          inputs.backend.appendRows(
            first, to: [cache], positions: positions, Segments([rows.count]))
        }
        let positions = inputs.indices([6, 7, 8, 0, 1, 2, 3])
        inputs.backend.appendRows(x, to: caches, positions: positions, segments)
        return caches.enumerated().map { .stored("cache \($0)", $1, .bfloat16) }
      },
    ]

  private static func appended(
    _ extent: AttentionExtent, rotary: Int, _ inputs: inout CaseInputs
  ) -> [CaseOutput] {
    let capacities = [90, 300]
    let keys = capacities.map { inputs.emptyCache([$0, extent.keyWidth]) }
    let values = capacities.map { inputs.emptyCache([$0, extent.keyWidth]) }
    let table = inputs.vector([300, rotary])
    var filled = [0, 0]
    return ([[1, 1], [40, 270]] + pieces).map { lengths in
      let segments = Segments(lengths)
      let rows = NewAttentionRows(
        query: inputs.activations([segments.rows, extent.queryWidth]),
        key: inputs.activations([segments.rows, extent.keyWidth]),
        value: inputs.activations([segments.rows, extent.keyWidth]), table: table,
        positions: inputs.indices(
          zip(filled, lengths).flatMap { start, length in Array(start..<start + length) }))
      let output = inputs.backend.attend(
        AppendingAttention(
          rows, keys: keys, values: values, extent.geometry(isCausal: true), segments))
      filled = zip(filled, lengths).map(+)
      return .activation("after \(filled)", output)
    }
  }

  /// So many keys that threads share them by rows.
  private static func afterMany(_ cacheType: DType?, _ inputs: inout CaseInputs) -> [CaseOutput] {
    let extent = AttentionExtent(lengths: [], heads: 12, keyValueHeads: 12, headWidth: 16)
    let count = 1101
    let caches = (0..<2).map { _ in
      let cache = inputs.emptyCache([count + 3, extent.keyWidth], cacheType)
      inputs.backend.appendRows(
        inputs.activations([count, extent.keyWidth]), to: [cache],
        positions: inputs.indices(Array(0..<count)), Segments([count]))
      return cache
    }
    let output = inputs.backend.cachedAttention(
      inputs.activations([1, extent.queryWidth]), keys: [caches[0]], values: [caches[1]],
      positions: inputs.indices([count - 1]), extent.geometry(isCausal: true), Segments([1]))
    return [.activation("output", output)]
  }

  private static func decoded(
    _ extent: AttentionExtent, _ cacheType: DType?, _ inputs: inout CaseInputs
  ) -> [CaseOutput] {
    let capacities = [41, 64]
    let keys = capacities.map { inputs.emptyCache([$0, extent.keyWidth], cacheType) }
    let values = capacities.map { inputs.emptyCache([$0, extent.keyWidth], cacheType) }
    var filled = [0, 0]
    return pieces.map { lengths in
      let segments = Segments(lengths)
      let positions = inputs.indices(
        zip(filled, lengths).flatMap { start, length in Array(start..<start + length) })
      let k = inputs.activations([segments.rows, extent.keyWidth])
      let v = inputs.activations([segments.rows, extent.keyWidth])
      let q = inputs.activations([segments.rows, extent.queryWidth])
      inputs.backend.appendRows(k, to: keys, positions: positions, segments)
      inputs.backend.appendRows(v, to: values, positions: positions, segments)
      let output = inputs.backend.cachedAttention(
        q, keys: keys, values: values, positions: positions, extent.geometry(isCausal: true),
        segments)
      filled = zip(filled, lengths).map(+)
      return .activation("after \(filled)", output)
    }
  }
}
