import MaTVLMDistillation
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("The distance of a replaced layer against its formula")
struct LayerLossTests {
  private static let width = 24
  private static let segments = Segments([7, 0, 1, 12])

  private func normal(_ device: Device, seed: UInt64) -> Tensor {
    var generator = RandomGenerator(seed: seed)
    let count = Self.segments.rows * Self.width
    return Tensor(
      (0..<count).map { _ in Float(generator.normal()) }, [Self.segments.rows, Self.width],
      on: device)
  }

  @Test(
    "sum and gradient", arguments: CPUVariant.all, DistillationObjective.Reduction.allCases)
  func formula(_ variant: CPUVariant, _ reduction: DistillationObjective.Reduction) throws {
    var objective = DistillationObjective()
    (objective.reduction, objective.layerWeight) = (reduction, 0.5)
    let output = Parameter("output", normal(variant.device, seed: 1))
    output.isTrainable = true
    let target = normal(variant.device, seed: 2)
    let loss = LayerLoss(output.value, target, Self.segments, objective, sequences: 8)
    let (a, b) = (output.value.array().rows(Self.width), target.array().rows(Self.width))

    // Blocks of rows that share a norm, and what a block counts.
    let blocks: [(rows: Range<Int>, weight: Double)] =
      switch reduction {
      case .authors:
        zip(Self.segments.starts, Self.segments.lengths).map { ($0..<$0 + $1, 1) }
      case .tokenMean:
        zip(Self.segments.starts, Self.segments.lengths).flatMap { start, length in
          (start..<start + length).map { ($0..<$0 + 1, 1 / Double(length)) }
        }
      }
    var sum = 0.0
    var slopes: [Float] = []
    for (rows, weight) in blocks {
      let (x, y) = (a[rows].flatMap { $0 }, b[rows].flatMap { $0 })
      let norm = PlainLosses.distance(x, y)
      sum += weight * norm
      slopes += zip(x, y).map { Float(weight * 0.5 / 8 * ($0 - $1) / norm) }
    }
    #expect(deviation(loss.sum, from: sum, relative: 1e-6) == nil)
    #expect(deviation(Double(loss.total.item()), from: sum * 0.5 / 8, relative: 1e-6) == nil)
    let gradient = try #require(gradients(of: loss.total)[output])
    #expect(mismatch(gradient.array(), slopes, relativeL2: 1e-6) == nil)
  }

  @Test("Heads: the mean square of each sequence, and its slope", arguments: CPUVariant.all)
  func heads(_ variant: CPUVariant) throws {
    var objective = DistillationObjective()
    (objective.layerComparison, objective.layerWeight) = (.heads, 0.5)
    let output = Parameter("output", normal(variant.device, seed: 1))
    output.isTrainable = true
    let target = normal(variant.device, seed: 2)
    let loss = LayerLoss(output.value, target, Self.segments, objective, sequences: 8)
    let (a, b) = (output.value.array().rows(Self.width), target.array().rows(Self.width))
    var sum = 0.0
    var slopes: [Float] = []
    for (start, length) in zip(Self.segments.starts, Self.segments.lengths) where length > 0 {
      let differences = (start..<start + length).flatMap { row in
        zip(a[row], b[row]).map { $0 - $1 }
      }
      let count = Double(length * Self.width)
      sum += differences.reduce(0) { $0 + $1 * $1 } / count
      slopes += differences.map { Float(0.5 / 8 * 2 * $0 / count) }
    }
    #expect(deviation(loss.sum, from: sum, relative: 1e-6) == nil)
    #expect(deviation(Double(loss.total.item()), from: sum * 0.5 / 8, relative: 1e-6) == nil)
    let gradient = try #require(gradients(of: loss.total)[output])
    #expect(mismatch(gradient.array(), slopes, relativeL2: 1e-6) == nil)
  }

  @Test("a mixer that equals its attention has no gradient, and none that is undefined")
  func equal() throws {
    for reduction in DistillationObjective.Reduction.allCases {
      var objective = DistillationObjective()
      objective.reduction = reduction
      let output = Parameter("output", normal(.cpu, seed: 1))
      output.isTrainable = true
      let loss = LayerLoss(
        output.value, output.value.detached, Self.segments, objective, sequences: 1)
      #expect(loss.sum == 0)
      #expect(try #require(gradients(of: loss.total)[output]).array().allSatisfy { $0 == 0 })
    }
  }

  @Test("each labelled row counts by the labels of its sequence")
  func rowWeights() {
    let weights = RowWeights.labels([-100, 4, 0, -100, -1, 9], Segments([3, 2, 0, 1]))
    #expect(weights == [0, 0.5, 0.5, 0, 0, 1])
  }
}
