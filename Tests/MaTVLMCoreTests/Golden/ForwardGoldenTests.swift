import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

/// What `body` finds different from PyTorch on a processor's kernels.
func goldenFailures(
  _ variant: CPUVariant, _ bounds: GoldenBounds = .processor,
  _ body: (inout GoldenComparison) throws -> Void
) throws -> [String] {
  var comparison = try GoldenComparison(variant.device, bounds)
  try body(&comparison)
  #expect(comparison.count > 0)
  return comparison.failures
}

extension CPUVariant {
  /// What rows and answers of a golden model are held to.
  func bounds(_ folder: String) -> GoldenBounds {
    roundsRows && folder == "student-bf16" ? .roundedRows : .processor
  }
}

@Suite("Teacher and student, forward, against PyTorch")
struct ForwardGoldenTests {
  @Test("connector rows of a whole model", arguments: CPUVariant.all, ["a.png", "c.jpg"])
  func imageRows(_ variant: CPUVariant, _ name: String) throws {
    #expect(try goldenFailures(variant) { try $0.compareImageRows(name) } == [])
  }

  @Test("spliced rows and every hidden state of the teacher", arguments: CPUVariant.all, 0..<4)
  func hiddenStates(_ variant: CPUVariant, _ index: Int) throws {
    #expect(try goldenFailures(variant) { try $0.compareHiddenStates(index) } == [])
  }

  @Test("logits", arguments: CPUVariant.all, ["teacher"] + GoldenModels.students)
  func logits(_ variant: CPUVariant, _ folder: String) throws {
    #expect(
      try goldenFailures(variant, variant.bounds(folder)) { try $0.compareLogits(folder) } == [])
  }

  @Test(
    "logits of rounded weights, as near as their bits allow", arguments: CPUVariant.all,
    [Quantization.Code.int8, .int4])
  func roundedWeights(_ variant: CPUVariant, _ code: Quantization.Code) throws {
    // Four random layers of 64 columns: each product is off by 1 % with 8 bits, by 12 % with 4.
    let tolerance = code == .int8 ? 0.05 : 0.5
    let (cases, golden) = (try GoldenCases.read(), try Golden.tensors("forward.safetensors"))
    for who in ["teacher", "student"] {
      let model = try VisionLanguageModel.load(
        GoldenModels.folder(who), quantization: Quantization(code), on: variant.device)
      for (index, sample) in cases.samples.prefix(4).enumerated() {
        let pictures = try sample.image.map { [try GoldenModels.resizedPicture($0)] } ?? []
        let logits = model.logits([sample.ids], pictures: pictures).array()
        let expected = try golden.values("sample\(index).\(who).logits")
        #expect(mismatch(logits, expected, relativeL2: tolerance) == nil, "\(who) \(index)")
        #expect(mismatch(logits, expected, relativeL2: 1e-5) != nil, "\(who) \(index)")
      }
    }
  }

  @Test("logits of packed sequences are those of each alone", arguments: CPUVariant.all)
  func packed(_ variant: CPUVariant) throws {
    #expect(try goldenFailures(variant) { try $0.comparePackedLogits() } == [])
  }

  @Test("ids and labels of the golden data are PyTorch's")
  func prompts() throws {
    let cases = try GoldenCases.read()
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
