import Foundation
import MaTVLMDistillation
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Losses over the vocabulary against their formulas")
struct LogitLossTests {
  private static let vocabulary = 29
  private static let segments = Segments([5, 1, 0, 9])
  /// The second sequence has no labels; the first and last have some.
  private static let labels =
    [-100, 3, 28, -100, 0] + [-100] + [-100, -100, 7, 7, -100, 12, 1, 28, -100]

  /// Random logits: rows of the width of the vocabulary, and the identity for a head.
  private struct Pair {
    let student: Parameter
    let teacher: Tensor
    let head: Tensor

    init(_ device: Device, seed: UInt64, rows: Int = segments.rows) {
      var generator = RandomGenerator(seed: seed)
      func normal() -> Tensor {
        let values = (0..<rows * vocabulary).map { _ in Float(2 * generator.normal()) }
        return Tensor(values, [rows, vocabulary], on: device)
      }
      student = Parameter("student", normal())
      student.isTrainable = true
      teacher = normal()
      let identity = (0..<vocabulary * vocabulary).map { Float($0 % (vocabulary + 1) == 0 ? 1 : 0) }
      head = Tensor(identity, [vocabulary, vocabulary], on: device)
    }

    func loss(
      _ objective: DistillationObjective, labels: [Int] = LogitLossTests.labels,
      segments: Segments = LogitLossTests.segments, sequences: Int = 4, teaches: Bool = true
    ) -> LogitLoss {
      LogitLoss(
        VocabularyHead(rows: student.value, weight: head, bias: nil),
        teacher: teaches ? VocabularyHead(rows: teacher, weight: head, bias: nil) : nil,
        labels: labels, segments, objective, sequences: sequences)
    }
  }

  /// Unweighted sums over the sequences.
  private static func plain(
    _ student: [[Double]], _ teacher: [[Double]], _ objective: DistillationObjective
  ) -> (divergence: Double, labels: Double) {
    zip(segments.starts, segments.lengths).reduce((0, 0)) { sums, segment in
      let range = segment.0..<segment.0 + segment.1
      let own = Array(student[range])
      return (
        sums.0 + PlainLosses.sequence(own, Array(teacher[range]), objective),
        sums.1 + PlainLosses.labels(own, Array(labels[range]))
      )
    }
  }

  static let objectives: [DistillationObjective] = Divergence.allCases.flatMap { divergence in
    DistillationObjective.Reduction.allCases.flatMap { reduction in
      [Float(1), 2.5].map { temperature in
        var objective = DistillationObjective()
        (objective.divergence, objective.reduction) = (divergence, reduction)
        (objective.temperature, objective.logitWeight) = (temperature, 0.75)
        objective.labelWeight = 1.5
        return objective
      }
    }
  }

  @Test("sums, and the gradient of their weighted mean", arguments: objectives)
  func formulas(_ objective: DistillationObjective) throws {
    for variant in CPUVariant.all {
      let pair = Pair(variant.device, seed: 1)
      let loss = pair.loss(objective)
      let student = pair.student.value.array().rows(Self.vocabulary)
      let teacher = pair.teacher.array().rows(Self.vocabulary)
      let expected = Self.plain(student, teacher, objective)
      #expect(
        deviation(loss.divergenceSum, from: expected.divergence, relative: 1e-5) == nil)
      #expect(deviation(loss.labelSum, from: expected.labels, relative: 1e-5) == nil)

      let part = objective.divergence == .logitDistance ? 0.5 : 1
      #expect(
        deviation(
          Double(loss.total.item()),
          from: (0.75 * part * expected.divergence + 1.5 * expected.labels) / 4, relative: 1e-5)
          == nil)

      let gradient = try #require(gradients(of: loss.total)[pair.student])
      let slopes = Self.slopes(student) { moved in
        let sums = Self.plain(moved, teacher, objective)
        return (0.75 * sums.divergence + 1.5 * sums.labels) / 4
      }
      #expect(mismatch(gradient.array(), slopes, relativeL2: 1e-5) == nil, "\(variant)")
    }
  }

  /// Central differences with respect to every logit.
  private static func slopes(
    _ student: [[Double]], _ function: ([[Double]]) -> Double
  ) -> [Float] {
    student.indices.flatMap { row in
      (0..<vocabulary).map { column in
        let ends = [1e-5, -1e-5].map { step in
          var moved = student
          moved[row][column] += step
          return function(moved)
        }
        return Float((ends[0] - ends[1]) / 2e-5)
      }
    }
  }

  @Test("two tokens by hand: the Jensen-Shannon divergence and what the authors compute")
  func jensenShannon() {
    // p_T = (3/4, 1/4) and p_S = (1/4, 3/4), so m = (1/2, 1/2).
    let three = Float(log(3.0))
    let head = Tensor([1, 0, 0, 1], [2, 2])
    func sum(_ divergence: Divergence) -> Double {
      var objective = DistillationObjective()
      objective.divergence = divergence
      return LogitLoss(
        VocabularyHead(rows: Tensor([0, three], [1, 2]), weight: head, bias: nil),
        teacher: VocabularyHead(rows: Tensor([three, 0], [1, 2]), weight: head, bias: nil),
        labels: [-100], Segments([1]), objective, sequences: 1
      ).divergenceSum
    }
    // KL(p ‖ m) = ¾ ln 3/2 + ¼ ln 1/2, the same for both.
    let right = 0.75 * log(1.5) + 0.25 * log(0.5)
    // KL(m ‖ p) = ½ ln 2/3 + ½ ln 2.
    let swapped = 0.5 * log(2.0 / 3) + 0.5 * log(2.0)
    #expect(deviation(sum(.jensenShannon), from: right, relative: 1e-6) == nil)
    #expect(deviation(sum(.jensenShannonAuthors), from: swapped, relative: 1e-6) == nil)
    // KL(p_T ‖ p_S) = ½ ln 3 both ways.
    #expect(deviation(sum(.forward), from: 0.5 * log(3.0), relative: 1e-6) == nil)
    #expect(deviation(sum(.reverse), from: 0.5 * log(3.0), relative: 1e-6) == nil)
    #expect(deviation(sum(.teacherArgmax), from: log(4.0), relative: 1e-6) == nil)
    #expect(deviation(sum(.logitDistance), from: log(3.0) * 2.0.squareRoot(), relative: 1e-6) == nil)
  }

  @Test("the same distribution: nothing to learn, and nothing undefined", arguments: objectives)
  func equal(_ objective: DistillationObjective) throws {
    guard objective.divergence != .teacherArgmax else { return }
    var objective = objective
    objective.labelWeight = 0
    let pair = Pair(.cpu, seed: 2)
    let head = VocabularyHead(rows: pair.student.value, weight: pair.head, bias: nil)
    let loss = LogitLoss(
      head, teacher: VocabularyHead(rows: pair.student.value, weight: pair.head, bias: nil),
      labels: Self.labels, Self.segments, objective, sequences: 1)
    #expect(abs(loss.divergenceSum) < 1e-5)
    let gradient = try #require(gradients(of: loss.total)[pair.student]).array()
    #expect(gradient.allSatisfy { abs($0) < 1e-6 })
  }

  @Test("sequences without labels count nothing, with a teacher and without")
  func noLabels() throws {
    var objective = DistillationObjective()
    objective.labelWeight = 1
    objective.logitWeight = 0
    let pair = Pair(.cpu, seed: 3)
    let none = Array(repeating: -100, count: Self.segments.rows)
    for teaches in [true, false] {
      let loss = pair.loss(objective, labels: none, teaches: teaches)
      #expect(loss.labelSum == 0 && loss.total.item() == 0)
      let gradient = gradients(of: loss.total)[pair.student]
      #expect(gradient?.array().allSatisfy { $0 == 0 } ?? true)
    }
    #expect(pair.loss(objective, teaches: false).divergenceSum == 0)
  }

  @Test("a long sequence counts as much as a short one under token means, and not otherwise")
  func lengths() {
    // The same two distributions in every row: the sum grows with the rows, the mean does not.
    func sum(_ rows: Int, _ reduction: DistillationObjective.Reduction) -> Double {
      var objective = DistillationObjective()
      objective.reduction = reduction
      let head = Tensor([1, 0, 0, 1], [2, 2])
      func rowsOf(_ a: Float, _ b: Float) -> VocabularyHead {
        VocabularyHead(
          rows: Tensor((0..<rows).flatMap { _ in [a, b] }, [rows, 2]), weight: head, bias: nil)
      }
      return LogitLoss(
        rowsOf(0, 1), teacher: rowsOf(2, 0), labels: Array(repeating: -1, count: rows),
        Segments([rows]), objective, sequences: 1
      ).divergenceSum
    }
    let one = sum(1, .authors)
    #expect(one > 0.1)
    #expect(deviation(sum(12, .authors), from: 12 * one, relative: 1e-6) == nil)
    #expect(deviation(sum(12, .tokenMean), from: one, relative: 1e-6) == nil)
  }

  @Test("packed sequences are the sum of single ones, and the loss is a mean over the update's")
  func packing() throws {
    let objective = Self.objectives[0]
    let pair = Pair(.cpu, seed: 4)
    let packed = pair.loss(objective)
    var sums = (0.0, 0.0)
    for (start, length) in zip(Self.segments.starts, Self.segments.lengths) where length > 0 {
      let rows = Tensor(indices: Array(start..<start + length))
      let one = LogitLoss(
        VocabularyHead(rows: gatherRows(pair.student.value, rows), weight: pair.head, bias: nil),
        teacher: VocabularyHead(rows: gatherRows(pair.teacher, rows), weight: pair.head, bias: nil),
        labels: Array(Self.labels[start..<start + length]), Segments([length]), objective,
        sequences: 4)
      sums.0 += one.divergenceSum
      sums.1 += one.labelSum
    }
    #expect(deviation(packed.divergenceSum, from: sums.0, relative: 1e-6) == nil)
    #expect(deviation(packed.labelSum, from: sums.1, relative: 1e-6) == nil)
    let halves = pair.loss(objective, sequences: 8)
    #expect(
      deviation(Double(halves.total.item()), from: Double(packed.total.item()) / 2, relative: 1e-6)
        == nil)
    #expect(halves.divergenceSum == packed.divergenceSum)
  }
}
