import Foundation
import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Models whose matrices are quantised")
struct QuantizedModelTests {
  static let quantizations = [
    Quantization(.int8), Quantization(.int4), Quantization(.int8, group: 32),
  ]

  private func logits(_ model: VisionLanguageModel) throws -> [Float] {
    let sample = try GoldenCases.read().samples[2]
    return model.logits([sample.ids.filter { $0 >= 0 }]).array()
  }

  @Test(
    "every matrix is quantised, vectors are not, and logits stay near", arguments: quantizations)
  func loading(_ quantization: Quantization) throws {
    let folder = GoldenModels.folder("student-bf16")
    let model = try VisionLanguageModel.load(folder, quantization: quantization)
    #expect(model.quantization == quantization)
    for parameter in model.parameters {
      // Of what has two dimensions or more only the convolution's taps stay float32.
      let isMatrix =
        parameter.shape.dimensions.count > 1 && !parameter.name.hasSuffix("conv1d.weight")
      #expect(
        parameter.value.dtype == (isMatrix ? .quantized(quantization) : .float32),
        "\(parameter.name)")
    }
    let exact = try logits(VisionLanguageModel.load(folder))
    // Four random layers of 64 columns: each product is off by 1 % with 8 bits, by 12 % with 4.
    let tolerance = quantization.code == .int8 ? 0.05 : 0.5
    let difference = mismatch(try logits(model), exact, relativeL2: tolerance)
    #expect(difference == nil, "\(difference?.description ?? "")")
    #expect(try logits(model) != exact)
  }

  @Test("products with codes are those with the numbers that they stand for")
  func products() throws {
    // Rows are rounded to 8 bits on the processor, by 1 % in each product.
    let bounds = GoldenBounds(
      rows: 0.05, losses: 0, gradients: 0, trajectory: 0, hasExactAnswers: false)
    var comparison = try GoldenComparison(.cpu, bounds)
    for code in Quantization.Code.allCases { try comparison.compareQuantized(Quantization(code)) }
    #expect(comparison.failures == [] && comparison.count > 4)
  }

  @Test("a quantised folder loads by itself, bit for bit", arguments: quantizations)
  func saving(_ quantization: Quantization) throws {
    let folder = try TemporaryFolder()
    let model = try VisionLanguageModel.load(
      GoldenModels.folder("student"), quantization: quantization)
    try model.save(to: folder["saved"])
    let loaded = try VisionLanguageModel.load(folder["saved"])
    #expect(loaded.quantization == quantization)
    #expect(try logits(loaded) == logits(model))
    #expect(
      ModelSummary(of: loaded).parameters
        == ModelSummary(of: try GoldenModels.load("student")).parameters)
    #expect(ModelSummary(of: loaded).storedAs == quantization.description)
    try loaded.save(to: folder["again"])
    // Both parts lie end to end in the file, so nothing is copied; where they do not, it is.
    #expect(loaded.decoder.head.weight.value.storage.isBorrowed)
    let file = folder["saved/model.safetensors"]
    let tensors = try Checkpoint.open(folder["saved"])
    try SafetensorsWriter.write(
      tensors.names.sorted().reversed().compactMap(tensors.tensor), to: file)
    let copied = try VisionLanguageModel.load(folder["saved"])
    #expect(!copied.decoder.head.weight.value.storage.isBorrowed)
    #expect(try logits(copied) == logits(model))
    let (once, twice) = (try FolderContent(folder["saved"]), try FolderContent(folder["again"]))
    #expect(once.tensors == twice.tensors && once.json == twice.json)
    // The same again is no contradiction, anything else is.
    _ = try VisionLanguageModel.load(folder["saved"], quantization: quantization)
    #expect(throws: QuantizationError.self) {
      try VisionLanguageModel.load(
        folder["saved"], quantization: Quantization(quantization.code, group: 256))
    }
  }

  @Test("a student of a quantised teacher trains, over its weights and with gradients through them")
  func training() throws {
    let folder = try TemporaryFolder()
    let teacher = try VisionLanguageModel.load(
      GoldenModels.folder("teacher"), quantization: Quantization(.int8))
    let student = try teacher.student(replacing: [1], .identity, seed: 3)
    var run = TrainingConfiguration()
    (run.steps, run.learningRate, run.warmupSteps) = (6, 2e-3, 0)
    var losses: [Double] = []
    var trainer = Trainer(
      distilling: teacher, into: student, .init(), run, data: try GoldenModels.data())
    try trainer.run { if case .update(let update) = $0 { losses.append(update.losses.layer) } }
    #expect(losses.count == 6 && losses.allSatisfy(\.isFinite))
    #expect(losses[5] < losses[0])
    try student.save(to: folder["student"])
    #expect(
      try logits(VisionLanguageModel.load(folder["student"])) == logits(student))
  }

  @Test(
    "what config.json says wrongly is named",
    arguments: [
      (["bits": 5, "group_size": 64], "bits"), (["bits": 8, "group_size": 48], "group_size"),
      (["bits": 8], "group_size"), (["bits": 4, "group_size": 64], ".codes"),
    ] as [([String: Int], String)])
  func wrongConfiguration(_ values: [String: Int], word: String) throws {
    let folder = try quantizedFolder()
    try folder.set(["quantization"], to: .object(values.mapValues(JSONValue.integer)))
    #expect { try folder.load() } throws: { "\($0)".contains(word) }
  }

  @Test("codes without a word in config.json, and missing or other parts, are named")
  func wrongTensors() throws {
    let name = "language_model.lm_head.weight"
    let silent = try quantizedFolder()
    try silent.set(["quantization"], to: nil)
    #expect { try silent.load() } throws: { "\($0)".contains("quantization") }
    for (part, shape) in [("scales", nil), ("codes", nil), ("scales", [1, 1, 16])]
      as [(String, Shape?)]
    {
      let folder = try quantizedFolder()
      try folder.rewriteTensors(of: folder.url) { tensors in
        tensors.compactMap { tensor in
          guard tensor.name == "\(name).\(part)" else { return tensor }
          return shape.map { CheckpointTensor(tensor.name, .zeros($0), as: .bfloat16) }
        }
      }
      #expect { try folder.load() } throws: { "\($0)".contains(name) }
    }
  }

  /// A folder that was quantised to int8 in groups of 64.
  private func quantizedFolder() throws -> ModelFolder {
    let folder = try ModelFolder("student")
    let model = try VisionLanguageModel.load(folder.url, quantization: Quantization(.int8))
    try model.save(to: folder.url, replacing: { _ in true })
    return folder
  }
}
