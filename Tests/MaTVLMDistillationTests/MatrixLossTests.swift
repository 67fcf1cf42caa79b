import Foundation
import MaTVLMDistillation
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("The distance of mixing matrices against its formula")
struct MatrixLossTests {
  struct Extent: CustomTestStringConvertible, Sendable {
    let lengths: [Int]
    let heads, groups, keyValueHeads: Int
    var testDescription: String { "\(lengths), \(heads)/\(groups)/\(keyValueHeads) heads" }
  }

  /// Sequences below, at and beyond a block of columns; heads that share keys, on either side.
  static let extents = [
    Extent(lengths: [5], heads: 2, groups: 2, keyValueHeads: 2),
    Extent(lengths: [4, 0, 1, 11], heads: 4, groups: 2, keyValueHeads: 4),
    Extent(lengths: [9, 3], heads: 6, groups: 3, keyValueHeads: 2),
  ]
  private static let width = 4
  private static let stateWidth = 3

  private static func geometry(_ extent: Extent) -> (StateSpaceGeometry, AttentionGeometry) {
    (
      StateSpaceGeometry(
        heads: extent.heads, groups: extent.groups, headWidth: width, stateWidth: stateWidth,
        chunk: 4),
      AttentionGeometry(
        heads: extent.heads, keyValueHeads: extent.keyValueHeads, headWidth: width, scale: 0.7,
        isCausal: true)
    )
  }

  /// b, c, dt, dtBias, aLog, d.
  private static func shapes(_ extent: Extent) -> [Shape] {
    let rows = Segments(extent.lengths).rows
    return [
      [rows, extent.groups * stateWidth], [rows, extent.heads * stateWidth], [rows, extent.heads],
      [extent.heads], [extent.heads], [extent.heads],
    ]
  }

  private static func distance(
    _ inputs: [Tensor], q: Tensor, k: Tensor, _ extent: Extent, largestPart: Int = 1 << 23
  ) -> Tensor {
    let (scan, attention) = geometry(extent)
    let x = Tensor.zeros([inputs[0].shape.rows, extent.groups * width], on: q.device)
    return matrixDistance(
      ScanMatrices(
        StateSpaceInputs(
          x: x, b: inputs[0], c: inputs[1], dt: inputs[2], dtBias: inputs[3], aLog: inputs[4],
          d: inputs[5]), scan),
      AttentionMatrices(query: q, key: k, attention), Segments(extent.lengths),
      largestPart: largestPart)
  }

  @Test("value, alike however many heads exist at a time", arguments: CPUVariant.all, extents)
  func value(_ variant: CPUVariant, _ extent: Extent) {
    var generator = RandomGenerator(seed: 5)
    func normal(_ shape: Shape) -> Tensor {
      Tensor(
        (0..<shape.count).map { _ in Float(generator.normal()) }, shape, on: variant.device)
    }
    let rows = Segments(extent.lengths).rows
    let inputs = Self.shapes(extent).map(normal)
    let q = normal([rows, extent.heads * Self.width])
    let k = normal([rows, extent.keyValueHeads * Self.width])
    let expected = PlainMatrices(inputs, q: q, k: k, extent, Self.width, Self.stateWidth).distance
    let found = [1 << 23, 1].map {
      Double(Self.distance(inputs, q: q, k: k, extent, largestPart: $0).item())
    }
    for value in found {
      // Sums of up to 80 squares of exponentials, in float32.
      #expect(deviation(value, from: expected, relative: 1e-5) == nil)
    }
  }

  @Test("gradients, taken for all heads at once and for a few at a time", arguments: extents)
  func gradients(_ extent: Extent) {
    for largestPart in [1 << 23, 1] {
      var check = GradientCheck()
      let rows = Segments(extent.lengths).rows
      let q = check.constant([rows, extent.heads * Self.width])
      let k = check.constant([rows, extent.keyValueHeads * Self.width])
      let failures = check.failures(Self.shapes(extent)) {
        Self.distance($0, q: q, k: k, extent, largestPart: largestPart)
      }
      #expect(failures == [], "\(largestPart)")
    }
  }

  @Test("A loss counts the distance by its weight and as a mean over sequences")
  func weight() throws {
    let extent = Self.extents[1]
    var check = GradientCheck()
    let inputs = Self.shapes(extent).map { check.constant($0) }
    let rows = Segments(extent.lengths).rows
    let q = check.constant([rows, extent.heads * Self.width])
    let k = check.constant([rows, extent.keyValueHeads * Self.width])
    var objective = DistillationObjective()
    (objective.layerWeight, objective.layerComparison) = (0.25, .matrix)
    let (scan, attention) = Self.geometry(extent)
    let loss = LayerLoss(
      ScanMatrices(
        StateSpaceInputs(
          x: inputs[0], b: inputs[0], c: inputs[1], dt: inputs[2], dtBias: inputs[3],
          aLog: inputs[4], d: inputs[5]), scan),
      AttentionMatrices(query: q, key: k, attention), Segments(extent.lengths), objective,
      sequences: 8)
    let sum = Double(Self.distance(inputs, q: q, k: k, extent).item())
    #expect(deviation(loss.sum, from: sum, relative: 1e-7) == nil)
    #expect(deviation(Double(loss.total.item()), from: sum * 0.25 / 8, relative: 1e-6) == nil)
  }
}

/// The matrices as their formulas stand, in double precision.
private struct PlainMatrices {
  /// Σ over sequences of the mean over heads of the Frobenius distance.
  let distance: Double

  init(
    _ inputs: [Tensor], q: Tensor, k: Tensor, _ extent: MatrixLossTests.Extent, _ width: Int,
    _ stateWidth: Int
  ) {
    let numbers = inputs.map { $0.array().map(Double.init) }
    let (queries, keys) = (q.array().rows(q.shape.width), k.array().rows(k.shape.width))
    let (b, c) = (
      numbers[0].chunked(extent.groups * stateWidth), numbers[1].chunked(extent.heads * stateWidth)
    )
    func part(_ row: [Double], _ head: Int, _ width: Int) -> ArraySlice<Double> {
      row[head * width..<(head + 1) * width]
    }
    func dot(_ a: ArraySlice<Double>, _ b: ArraySlice<Double>) -> Double {
      zip(a, b).reduce(0) { $0 + $1.0 * $1.1 }
    }
    var total = 0.0
    let segments = Segments(extent.lengths)
    for (start, length) in zip(segments.starts, segments.lengths) {
      for head in 0..<extent.heads {
        func step(_ row: Int) -> Double {
          log1p(exp(numbers[2][row * extent.heads + head] + numbers[3][head]))
        }
        let a = -exp(numbers[4][head])
        var squares = 0.0
        for l in 0..<length {
          let key = head / (extent.heads / extent.keyValueHeads)
          let scores = (0...l).map { s in
            0.7 * dot(part(queries[start + l], head, width), part(keys[start + s], key, width))
          }
          let attended = PlainLosses.softmax(scores)
          for s in 0...l {
            let decay = ((s + 1)..<(l + 1)).reduce(0) { $0 + step(start + $1) * a }
            let group = head / (extent.heads / extent.groups)
            let product = dot(
              part(c[start + l], head, stateWidth), part(b[start + s], group, stateWidth))
            var mixed = product * exp(decay) * step(start + s)
            if s == l { mixed += numbers[5][head] }
            squares += (mixed - attended[s]) * (mixed - attended[s])
          }
        }
        total += squares.squareRoot() / Double(extent.heads)
      }
    }
    distance = total
  }
}

extension [Double] {
  fileprivate func chunked(_ width: Int) -> [[Double]] {
    stride(from: 0, to: count, by: width).map { Array(self[$0..<$0 + width]) }
  }
}
