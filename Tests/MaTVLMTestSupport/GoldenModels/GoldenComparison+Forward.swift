import MaTVLMCore
import MaTVLMTensor

extension GoldenComparison {
  private func pictures(_ sample: GoldenCases.Sample) throws -> [RGBImage] {
    try sample.image.map { [try GoldenModels.resizedPicture($0)] } ?? []
  }

  /// The connector's rows of a whole model.
  package mutating func compareImageRows(_ picture: String) throws {
    let rows = try load("teacher").imageRows([try GoldenModels.resizedPicture(picture)])
    let expected = try Golden.tensors("forward.safetensors").tensor("vision.\(picture).connected")
    compare("rows of \(picture)", rows, expected, bounds.rows)
  }

  /// Spliced rows and every hidden state of the teacher.
  package mutating func compareHiddenStates(_ sample: Int) throws {
    let golden = try Golden.tensors("forward.safetensors")
    let teacher = try load("teacher")
    let batch = try GoldenModels.batch([cases.samples[sample]], for: teacher)
    let images = batch.pictures.isEmpty ? nil : teacher.imageRows(batch.pictures)
    var x = batch.spliced.rows(teacher.decoder.embedding, images: images)
    let layout = SequenceLayout(batch.spliced.segments, on: device)
    func expected(_ name: String) throws -> Tensor {
      try golden.tensor("sample\(sample).\(name)")
    }
    compare("sample \(sample), rows", x, try expected("rows"), bounds.rows)
    let blocks = teacher.decoder.blocks
    for (layer, block) in blocks.enumerated() {
      let name = "teacher.hidden\(layer)"
      compare("sample \(sample), \(name)", x, try expected(name), bounds.rows)
      x = block(x, layout)
    }
    // PyTorch's last hidden state is the one after the final norm.
    compare(
      "sample \(sample), final rows", teacher.decoder.finalNorm(x),
      try expected("teacher.hidden\(blocks.count)"), bounds.rows)
  }

  /// Logits of the first samples, each by itself.
  package mutating func compareLogits(_ folder: String) throws {
    let golden = try Golden.tensors("forward.safetensors")
    let model = try load(folder)
    let who = folder == "teacher" ? "teacher" : "student"
    for (index, sample) in cases.samples.prefix(4).enumerated() {
      compare(
        "\(folder), logits of sample \(index)",
        model.logits([sample.ids], pictures: try pictures(sample)),
        try golden.tensor("sample\(index).\(who).logits"), bounds.rows)
    }
  }

  /// Logits of packed sequences, which are those of each alone.
  package mutating func comparePackedLogits() throws {
    let golden = try Golden.tensors("forward.safetensors")
    let samples = Array(cases.samples.prefix(4))
    let logits = try load("student").logits(
      samples.map(\.ids), pictures: try samples.flatMap(pictures))
    let expected = try samples.indices.flatMap { try golden.values("sample\($0).student.logits") }
    compare("packed logits", logits, Tensor(expected, logits.shape), bounds.rows)
  }
}
