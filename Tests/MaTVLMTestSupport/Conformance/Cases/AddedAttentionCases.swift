import MaTVLMTensor

/// The end of a decoder block for a row that comes after others: attention and what is added beside it.
extension OperationCase {
  static let addedAttention = [
    ([1], 4, 2, 16, 8), ([1], 2, 2, 80, 32), ([1], 3, 1, 72, 2), ([1], 1, 1, 5, 2),
    ([1, 1], 2, 2, 80, 32), ([3], 2, 2, 80, 32),
  ].map(addedAttention)

  private static func addedAttention(
    lengths: [Int], heads: Int, keyValueHeads: Int, headWidth: Int, rotary: Int
  ) -> OperationCase {
    let extent = AttentionExtent(
      lengths: lengths, heads: heads, keyValueHeads: keyValueHeads, headWidth: headWidth)
    let name = "addAttention of \(lengths), \(heads)/\(keyValueHeads) heads of \(headWidth)"
    return OperationCase(name, .chain) { inputs in
      var block = AddedAttention(extent, rotary: rotary, &inputs)
      return [0, 1, 40, 700, 1590].flatMap { block.rows(after: $0, &inputs) }
    }
  }
}

/// A block's layers and caches.
private struct AddedAttention {
  let extent: AttentionExtent
  let layers: [Projection]
  let output: Projection
  let fc2: Projection
  let table: Tensor
  let keys: [Tensor]
  let values: [Tensor]
  var filled = 0

  /// Wide enough for every block of a large card to have some of it.
  static let width = 320

  init(_ extent: AttentionExtent, rotary: Int, _ inputs: inout CaseInputs) {
    self.extent = extent
    let width = Self.width
    layers = [extent.queryWidth, extent.keyWidth, extent.keyWidth, 4 * extent.queryWidth].map {
      Projection(
        weight: inputs.matrix($0, width), bias: inputs.vector([$0]),
        activation: $0 == 4 * extent.queryWidth ? .geluTanh : nil)
    }
    output = Projection(
      weight: inputs.matrix(width, extent.queryWidth), bias: inputs.vector([width]))
    fc2 = Projection(
      weight: inputs.matrix(width, 4 * extent.queryWidth), bias: inputs.vector([width]))
    table = inputs.vector([1600, rotary])
    keys = extent.lengths.map { _ in inputs.emptyCache([1600, extent.keyWidth]) }
    values = extent.lengths.map { _ in inputs.emptyCache([1600, extent.keyWidth]) }
  }

  /// Fills the caches up to `count` rows, and lets each sequence go on twice.
  mutating func rows(after count: Int, _ inputs: inout CaseInputs) -> [CaseOutput] {
    let missing = Segments(extent.lengths.map { _ in max(0, count - filled) })
    let places = inputs.indices(extent.lengths.flatMap { _ in Array(filled..<max(filled, count)) })
    for caches in [keys, values] where missing.rows > 0 {
      inputs.backend.appendRows(
        inputs.activations([missing.rows, extent.keyWidth]), to: caches, positions: places, missing)
    }
    filled = max(filled, count)
    return (0..<2).map { _ in
      let segments = Segments(extent.lengths)
      let x = inputs.activations([segments.rows, Self.width])
      let positions = inputs.indices(
        extent.lengths.flatMap { Array(filled..<filled + $0) })
      let made = inputs.backend.linear(x, layers)
      filled += extent.lengths.max() ?? 0
      let attention = AppendingAttention(
        NewAttentionRows(
          query: made[0], key: made[1], value: made[2], table: table, positions: positions),
        keys: keys, values: values, extent.geometry(isCausal: true), segments)
      return .activation(
        "after \(filled)",
        inputs.backend.addAttention(
          to: x, attention, output, beside: [LinearTerm(made[3], fc2)]))
    }
  }
}
