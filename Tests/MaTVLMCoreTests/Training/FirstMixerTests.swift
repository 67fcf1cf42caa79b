import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("The first replaced mixer, which runs once for two losses")
struct FirstMixerTests {
  private let samples: [GoldenCases.Sample]

  init() throws { samples = try GoldenCases.read().samples }

  /// Gradients by name, and losses.
  private struct Taught: Equatable {
    let gradients: [String: [Float]]
    let sums: LossSums

    init(
      _ student: VisionLanguageModel, by teacher: VisionLanguageModel,
      _ samples: [GoldenCases.Sample],
      recompute: Bool = false, hasPictures: Bool = false
    ) throws {
      var objective = DistillationObjective()
      objective.labelWeight = 1
      let task = DistillationTask(
        teacher: teacher, student: student, objective, recompute: recompute,
        hasPictures: hasPictures)
      let batch = try GoldenModels.batch(samples, for: student)
      let (gradients, sums) = task.lossGradients(batch, sequences: samples.count)
      self.sums = sums
      self.gradients = Dictionary(
        uniqueKeysWithValues: task.trained.compactMap { parameter in
          gradients[parameter].map { (parameter.name, $0.array()) }
        })
    }
  }

  @Test(
    "Gradients and losses are those of a student that shares nothing with its teacher",
    arguments: [[0, 2], [2], [1, 2, 3]])
  func equal(_ layers: [Int]) throws {
    let texts = samples.filter { $0.image == nil }
    #expect(!texts.isEmpty)
    let (teacher, other) = (try GoldenModels.load("teacher"), try GoldenModels.load("teacher"))
    let student = try teacher.student(replacing: layers, .paper, seed: 1)
    let shared = try Taught(student, by: teacher, texts)
    let alone = try Taught(student, by: other, texts)
    #expect(shared.sums.layer == alone.sums.layer)
    // The sum of what the block adds to the stream is made in another order.
    #expect(abs(shared.sums.logits / alone.sums.logits - 1) < 1e-5)
    #expect(abs(shared.sums.labels / alone.sums.labels - 1) < 1e-5)
    #expect(
      shared.gradients.keys == alone.gradients.keys && shared.gradients.count == 8 * layers.count)
    for (name, gradient) in alone.gradients {
      #expect(
        mismatch(shared.gradients[name] ?? [], gradient, relativeL2: 3e-5) == nil, "\(name)")
    }
    #expect(try Taught(student, by: teacher, texts, recompute: true) == shared)
    // Where other batches have pictures, one without them is like any other.
    #expect(
      try Taught(student, by: teacher, texts, hasPictures: true)
        == Taught(student, by: other, texts, hasPictures: true))
  }

  @Test("Then an update takes fewer operations")
  func once() throws {
    let texts = Array(samples.filter { $0.image == nil }.prefix(1))
    let counts = try [true, false].map { isShared in
      let backend = CountingBackend(.processor(threads: 2))
      let device = Device(backend)
      let teacher = try GoldenModels.load("teacher", on: device)
      let student = try teacher.student(replacing: [1, 3], .paper, seed: 1)
      let other = isShared ? teacher : try GoldenModels.load("teacher", on: device)
      let task = DistillationTask(
        teacher: other, student: student, DistillationObjective(), recompute: false,
        hasPictures: false)
      _ = backend.takeOperations()
      _ = task.lossGradients(try GoldenModels.batch(texts, for: student), sequences: 1)
      return backend.takeOperations().operations
    }
    #expect(counts[0] < 0.9 * counts[1], "\(counts)")
  }
}
