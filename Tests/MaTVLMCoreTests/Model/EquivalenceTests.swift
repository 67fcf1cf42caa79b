import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("What must be equal by meaning")
struct EquivalenceTests {
  private let cases: GoldenCases

  init() throws { cases = try .read() }

  @Test("a student with nothing replaced is its teacher, bit for bit", arguments: CPUVariant.all)
  func nothingReplaced(_ variant: CPUVariant) throws {
    let teacher = try GoldenModels.load("teacher", on: variant.device)
    let student = try teacher.student(replacing: [], .paper, seed: 1)
    for sample in cases.samples.prefix(4) {
      let pictures = try sample.image.map { [try GoldenModels.picture($0)] } ?? []
      let logits = teacher.logits([sample.ids], pictures: pictures).array()
      #expect(student.logits([sample.ids], pictures: pictures).array() == logits)
    }
    let other = try teacher.student(replacing: [3], .paper, seed: 1)
    let ids = [cases.samples[2].ids]
    #expect(other.logits(ids).array() != teacher.logits(ids).array())
  }

  @Test("recomputed blocks give the gradients of kept ones, bit for bit", arguments: CPUVariant.all)
  func recomputing(_ variant: CPUVariant) throws {
    let teacher = try GoldenModels.load("teacher", on: variant.device)
    let student = try GoldenModels.load("student", on: variant.device)
    let batch = try GoldenModels.batch(Array(cases.samples.prefix(3)), for: student)
    var objective = DistillationObjective()
    objective.labelWeight = 1
    let results = [false, true].map { recompute in
      let task = DistillationTask(
        teacher: teacher, student: student, objective, recompute: recompute)
      let (gradients, sums) = task.lossGradients(batch, sequences: 3)
      return (task.trained.map { gradients[$0]?.array() }, sums)
    }
    #expect(results[0].0 == results[1].0)
    #expect(results[0].1 == results[1].1)
    #expect(results[0].0.allSatisfy { $0 != nil })
  }

  @Test("one thread trains as many do, bit for bit")
  func threads() throws {
    var configuration = TrainingConfiguration()
    (configuration.steps, configuration.batchSize) = (2, 3)
    var objective = DistillationObjective()
    objective.labelWeight = 1
    let runs = try [1, 2, 3].map { threads in
      var run = try GoldenRun(configuration, objective, on: CPUVariant.best(threads: threads))
      let before = run.bits
      try run.run()
      #expect(run.bits.allSatisfy { before[$0.key] != $0.value })
      return (run.bits, run.updates.map(\.losses))
    }
    #expect(runs[1].0 == runs[0].0 && runs[1].1 == runs[0].1)
    #expect(runs[2].0 == runs[0].0 && runs[2].1 == runs[0].1)
  }

  /// The embedded rows of a golden sample.
  private func rows(_ index: Int, _ model: VisionLanguageModel) throws -> Tensor {
    let batch = try GoldenModels.batch([cases.samples[index]], for: model)
    return batch.spliced.rows(
      model.decoder.embedding,
      images: batch.pictures.isEmpty ? nil : model.imageRows(batch.pictures))
  }

  private static let splits: [@Sendable (Int) -> [Int]] = [
    { [$0] }, { Array(repeating: 1, count: $0) }, { [1, $0 - 1] }, { [$0 - 1, 1] },
    { [$0 / 2, 0, $0 / 4, $0 - $0 / 2 - $0 / 4] },
  ]

  @Test(
    "a decoder that goes on, in any pieces, gives the logits of whole sequences at every row",
    arguments: CPUVariant.all, ["teacher", "student"])
  func cached(_ variant: CPUVariant, _ folder: String) throws {
    let model = try GoldenModels.load(folder, on: variant.device)
    let x = try rows(1, model)
    let count = x.shape.rows
    let whole = model.decoder.head(
      model.decoder(x, SequenceLayout(Segments([count]), on: variant.device)))
    for split in Self.splits.map({ $0(count) }) {
      // Less room than there are rows, so that caches have to grow.
      var states = [model.decoder.makeState(capacity: 4)]
      var (logits, start): ([Float], Int) = ([], 0)
      for length in split {
        let piece = gatherRows(
          x, Tensor(indices: Array(start..<start + length), on: variant.device))
        logits += model.decoder.head(model.decoder(piece, Segments([length]), states: &states))
          .array()
        start += length
      }
      #expect(mismatch(logits, whole.array(), relativeL2: 1e-5) == nil, "\(split)")
      #expect(states[0].position == count)
    }
  }

  @Test("sequences that go on together, unequally, give what each gives alone")
  func unequal() throws {
    let model = try GoldenModels.load("student")
    let inputs = try [0, 2, 3].map { try rows($0, model) }
    let whole = inputs.map {
      model.decoder($0, SequenceLayout(Segments([$0.shape.rows]), on: .cpu)).array()
    }
    var states = inputs.map { _ in model.decoder.makeState(capacity: 4) }
    var outputs = inputs.map { _ in [Float]() }
    var starts = [0, 0, 0]
    for lengths in [[40, 1, 0], [1, 1, 1], [0, 30, 51], [21, 18, 1]] {
      let pieces = inputs.indices.map { index in
        gatherRows(
          inputs[index], Tensor(indices: Array(starts[index]..<starts[index] + lengths[index])))
      }
      let packed = Tensor(pieces.flatMap { $0.array() }, [lengths.reduce(0, +), 64])
      let y = model.decoder(packed, Segments(lengths), states: &states).array()
      let segments = Segments(lengths)
      for index in inputs.indices {
        let range = segments.starts[index] * 64..<segments.starts[index + 1] * 64
        outputs[index] += y[range]
        starts[index] += lengths[index]
      }
    }
    #expect(starts == inputs.map(\.shape.rows))
    for (output, whole) in zip(outputs, whole) {
      #expect(mismatch(output, whole, relativeL2: 1e-5) == nil)
    }
  }

  @Test("a copied state goes its own way")
  func copies() throws {
    let model = try GoldenModels.load("student")
    let x = try rows(0, model)
    func step(_ row: Int, _ states: inout [DecodingState]) -> [Float] {
      model.decoder(
        gatherRows(x, Tensor(indices: [row])), Segments([1]), states: &states
      ).array()
    }
    var states = [model.decoder.makeState()]
    let head = gatherRows(x, Tensor(indices: Array(0..<20)))
    _ = model.decoder(head, Segments([20]), states: &states)
    var copies = states.map { $0.copy() }
    _ = step(50, &copies)
    var again = states.map { $0.copy() }
    #expect(step(20, &states) == step(20, &again))
    #expect(copies[0].position == 21 && again[0].position == 21)
  }
}
