import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Teacher and student, forward, against PyTorch")
struct ForwardGoldenTests {
  private static let relativeL2 = 1e-5
  private let golden: GoldenTensors
  private let cases: GoldenCases

  init() throws {
    golden = try Golden.tensors("forward.safetensors")
    cases = try .read()
  }

  private func pictures(_ sample: GoldenCases.Sample) throws -> [RGBImage] {
    try sample.image.map { [try GoldenModels.resizedPicture($0)] } ?? []
  }

  @Test("connector rows of a whole model", arguments: CPUVariant.all, ["a.png", "c.jpg"])
  func imageRows(_ variant: CPUVariant, _ name: String) throws {
    let teacher = try GoldenModels.load("teacher", on: variant.device)
    let rows = teacher.imageRows([try GoldenModels.resizedPicture(name)])
    let expected = try golden.tensor("vision.\(name).connected")
    #expect(mismatch(rows, expected, relativeL2: Self.relativeL2) == nil)
  }

  @Test("spliced rows and every hidden state of the teacher", arguments: CPUVariant.all, 0..<4)
  func hiddenStates(_ variant: CPUVariant, _ index: Int) throws {
    let teacher = try GoldenModels.load("teacher", on: variant.device)
    let batch = try GoldenModels.batch([cases.samples[index]], for: teacher)
    let images = batch.pictures.isEmpty ? nil : teacher.imageRows(batch.pictures)
    var x = batch.spliced.rows(teacher.decoder.embedding, images: images)
    let layout = SequenceLayout(batch.spliced.segments, on: variant.device)
    func check(_ x: Tensor, _ name: String) throws {
      let expected = try golden.tensor("sample\(index).\(name)")
      #expect(mismatch(x, expected, relativeL2: Self.relativeL2) == nil, "\(name)")
    }
    try check(x, "rows")
    for (layer, block) in teacher.decoder.blocks.enumerated() {
      try check(x, "teacher.hidden\(layer)")
      x = block(x, layout)
    }
    // PyTorch's last hidden state is the one after the final norm.
    try check(teacher.decoder.finalNorm(x), "teacher.hidden\(teacher.decoder.blocks.count)")
  }

  @Test(
    "logits", arguments: CPUVariant.all, ["teacher"] + GoldenModels.students)
  func logits(_ variant: CPUVariant, _ folder: String) throws {
    let model = try GoldenModels.load(folder, on: variant.device)
    let who = folder == "teacher" ? "teacher" : "student"
    for (index, sample) in cases.samples.prefix(4).enumerated() {
      let logits = model.logits([sample.ids], pictures: try pictures(sample))
      let expected = try golden.tensor("sample\(index).\(who).logits")
      #expect(mismatch(logits, expected, relativeL2: Self.relativeL2) == nil, "\(index)")
    }
  }

  @Test(
    "logits of rounded weights, as near as their bits allow", arguments: CPUVariant.all,
    [Quantization.Code.int8, .int4])
  func roundedWeights(_ variant: CPUVariant, _ code: Quantization.Code) throws {
    // Four random layers of 64 columns: each product is off by 1 % with 8 bits, by 12 % with 4.
    let tolerance = code == .int8 ? 0.05 : 0.5
    for (folder, who) in [("teacher", "teacher"), ("student", "student")] {
      let model = try VisionLanguageModel.load(
        GoldenModels.folder(folder), quantization: Quantization(code), on: variant.device)
      for (index, sample) in cases.samples.prefix(4).enumerated() {
        let logits = model.logits([sample.ids], pictures: try pictures(sample))
        let expected = try golden.tensor("sample\(index).\(who).logits")
        #expect(mismatch(logits, expected, relativeL2: tolerance) == nil, "\(who) \(index)")
        #expect(mismatch(logits, expected, relativeL2: Self.relativeL2) != nil, "\(who) \(index)")
      }
    }
  }

  @Test("logits of packed sequences are those of each alone", arguments: CPUVariant.all)
  func packed(_ variant: CPUVariant) throws {
    let student = try GoldenModels.load("student", on: variant.device)
    let samples = Array(cases.samples.prefix(4))
    let logits = student.logits(
      samples.map(\.ids), pictures: try samples.flatMap(pictures))
    let expected = try samples.indices.flatMap { try golden.values("sample\($0).student.logits") }
    #expect(mismatch(logits.array(), expected, relativeL2: Self.relativeL2) == nil)
  }

  @Test("ids and labels of the golden data are PyTorch's")
  func prompts() throws {
    let (teacher, data) = (try GoldenModels.load("teacher"), try GoldenModels.data())
    #expect(data.count == cases.samples.count)
    for (index, sample) in cases.samples.enumerated() {
      let example = try TrainingExample(data.sample(index), for: teacher)
      #expect(example.ids == sample.ids && example.labels == sample.labels, "\(index)")
      #expect((example.picture == nil) == (sample.image == nil))
      #expect(example.id == "\(index)")
    }
  }
}
