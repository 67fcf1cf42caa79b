import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Making a student: what it owns, what it shares, what trains")
struct StudentTests {
  private func identities(_ parameters: [Parameter]) -> Set<ObjectIdentifier> {
    Set(parameters.map { ObjectIdentifier($0) })
  }

  @Test("no trainable parameter is reachable from the teacher; all frozen ones are shared")
  func ownership() throws {
    let teacher = try GoldenModels.load("teacher")
    let student = try teacher.student(replacing: [0, 2], .identity, seed: 3)
    #expect(student.parameters.allSatisfy { !$0.isTrainable })
    let trainer = Trainer(
      distilling: teacher, into: student, .init(), .init(), data: try GoldenModels.data())
    #expect(teacher.parameters.allSatisfy { !$0.isTrainable })
    let trainable = identities(student.parameters.filter(\.isTrainable))
    #expect(trainable == identities(trainer.trainedParameters))
    #expect(trainable.isDisjoint(with: identities(teacher.parameters)))
    // Two mixers of 8 tensors, and a connector of 4.
    #expect(trainer.trainedParameters.count == 20 && trainable.count == 20)
    let frozen = identities(student.parameters.filter { !$0.isTrainable })
    #expect(frozen.isSubset(of: identities(teacher.parameters)))
    #expect(Set(student.parameters.map(\.name)).count == student.parameters.count)
  }

  @Test("training leaves every number of the teacher as it was")
  func teacherUnchanged() throws {
    let teacher = try GoldenModels.load("teacher")
    let student = try teacher.student(replacing: [1], .paper, seed: 3)
    let before = teacher.parameters.map { $0.value.array() }
    var configuration = TrainingConfiguration()
    configuration.steps = 2
    var trainer = Trainer(
      distilling: teacher, into: student, .init(), configuration, data: try GoldenModels.data())
    let connector = student.connector.parameters.map { $0.value.array() }
    try trainer.run { _ in }
    #expect(teacher.parameters.map { $0.value.array() } == before)
    #expect(student.connector.parameters.map { $0.value.array() } != connector)
  }

  @Test("mixers take the projections of the attention of their own layer")
  func seeding() throws {
    let teacher = try GoldenModels.load("teacher")
    let student = try teacher.student(replacing: [1, 3], .paper, seed: 3)
    #expect(student.decoder.mambaLayers == [1, 3] && teacher.decoder.mambaLayers == [])
    for layer in [1, 3] {
      guard case .mamba(let mixer) = student.decoder.blocks[layer].mixer,
        case .attention(let attention) = teacher.decoder.blocks[layer].mixer
      else {
        Issue.record("layer \(layer)")
        continue
      }
      let rows = mixer.inputProjection.weight.value.array()
      let copied = [attention.value, attention.key, attention.query].flatMap {
        $0.weight.value.array()
      }
      #expect(Array(rows[64 * 64..<256 * 64]) == copied)
      #expect(
        mixer.outputProjection.weight.value.array() == attention.output.weight.value.array())
      #expect(
        mixer.stepBias.name == "language_model.model.layers.\(layer).mamba.dt_bias")
    }
  }

  @Test("a layer's draws do not depend on which other layers are replaced")
  func draws() throws {
    let teacher = try GoldenModels.load("teacher")
    func mixer(_ layers: [Int], _ seed: UInt64) throws -> [[Float]] {
      let student = try teacher.student(replacing: layers, .paper, seed: seed)
      return student.decoder.blocks[2].mixer.parameters.map { $0.value.array() }
    }
    #expect(try mixer([2], 1) == mixer([0, 1, 2, 3], 1))
    #expect(try mixer([2], 1) != mixer([2], 2))
  }

  @Test("which folders can be a student")
  func checked() throws {
    let teacher = try GoldenModels.load("teacher")
    #expect(throws: StudentError.self) { try teacher.checkedAsStudent(of: teacher) }
    #expect(
      try GoldenModels.load("student").checkedAsStudent(of: teacher).decoder.mambaLayers == [0, 2])
    var sizes = ModelSizes()
    (sizes.vocabulary, sizes.hidden, sizes.intermediate) = (640, 32, 64)
    (sizes.layers, sizes.heads, sizes.endToken, sizes.rotaryFactor) = (4, 4, 0, 0.5)
    (sizes.vision.hidden, sizes.vision.intermediate, sizes.vision.layers) = (16, 32, 2)
    (sizes.vision.heads, sizes.vision.image) = (2, 28)
    let other = try VisionLanguageModel.fresh(
      sizes.configuration(), tokenizer: teacher.tokenizer, seed: 1)
    #expect(throws: StudentError.self) {
      try GoldenModels.load("student").checkedAsStudent(of: other)
    }
  }

  @Test("a student with more layers keeps its mixers; new ones are seeded from the teacher")
  func extended() throws {
    let teacher = try GoldenModels.load("teacher")
    let earlier = try GoldenModels.load("student")
    // What a stage may have trained of the student's own attention plays no part.
    for parameter in earlier.decoder.blocks[1].mixer.parameters {
      parameter.assign(.zeros(parameter.shape))
    }
    let later = try earlier.extended(to: [0, 1, 2], .paper, from: teacher, seed: 3)
    #expect(later.decoder.mambaLayers == [0, 1, 2])
    #expect(later.configuration.mamba?.layers == [0, 1, 2])
    for layer in [0, 2] {
      #expect(
        identities(later.decoder.blocks[layer].mixer.parameters)
          == identities(earlier.decoder.blocks[layer].mixer.parameters))
    }
    let fresh = try teacher.student(replacing: [1], .paper, seed: 3)
    #expect(
      later.decoder.blocks[1].mixer.parameters.map { $0.value.array() }
        == fresh.decoder.blocks[1].mixer.parameters.map { $0.value.array() })
    #expect(
      later.connector.parameters.map { $0.value.array() }
        == earlier.connector.parameters.map { $0.value.array() })
    let error = #expect(throws: StudentError.self) {
      try earlier.extended(to: [0, 1], .paper, from: teacher, seed: 3)
    }
    #expect(error?.description.contains("layers 2 of the student") == true, "\(error as Any)")
    #expect(throws: StudentError.self) { try earlier.student(replacing: [2], .paper, seed: 3) }
  }

  @Test("what info says of the golden student")
  func summary() throws {
    let summary = ModelSummary(of: try GoldenModels.load("student"))
    let file = try SafetensorsFile(GoldenModels.folder("student/model.safetensors"))
    #expect(summary.parameters == file.entries.reduce(0) { $0 + $1.shape.count })
    #expect(summary.bytes == 4 * summary.parameters && summary.storedAs == "float32")
    #expect(summary.attentionLayers == [1, 3] && summary.mambaLayers == [0, 2])
    #expect(
      summary.parameters
        == summary.decoderParameters + summary.visionParameters + summary.connectorParameters)
    // Two mixers, and a connector from 48 to 64 and from 64 to 64.
    let mixer = 260 * 64 + 192 * 4 + 192 + 4 * 3 + 64 + 64 * 64
    #expect(summary.connectorParameters == 64 * 49 + 64 * 65)
    #expect(summary.trainableParameters == 2 * mixer + summary.connectorParameters)
    #expect(summary.uncomputedParameters > 0 && summary.imageTokens == 15)
  }
}
