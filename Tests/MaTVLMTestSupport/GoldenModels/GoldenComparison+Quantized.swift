import MaTVLMCore
import MaTVLMTensor

extension GoldenComparison {
  /// The student with rounded weights, against one in floating point that has the numbers which codes
  /// and scales stand for: the same by other products.
  package mutating func compareQuantized(_ quantization: Quantization) throws {
    let rounded = try VisionLanguageModel.load(
      GoldenModels.folder("student"), quantization: quantization, on: device)
    let plain = try load("student")
    for (parameter, source) in zip(plain.parameters, rounded.parameters)
    where source.value.dtype != parameter.value.dtype {
      parameter.assign(device.backend.convert(source.value.detached, to: .float32))
    }
    for (index, sample) in cases.samples.prefix(4).enumerated() {
      let pictures = try sample.image.map { [try GoldenModels.resizedPicture($0)] } ?? []
      compare(
        "\(quantization), logits of sample \(index)",
        rounded.logits([sample.ids], pictures: pictures),
        plain.logits([sample.ids], pictures: pictures), bounds.rows)
    }
    // One row at a time, and a few.
    for prompt in cases.generations {
      let request = try request(prompt, plain)
      let expected = try plain.generate(request)
      compare(
        "\(quantization), \(prompt.question)", try rounded.generate(request),
        GoldenCases.Answer(ids: expected.ids, text: expected.text), to: request, by: rounded)
    }
  }
}
