import MaTVLMMamba
import MaTVLMTensor

extension VisionLanguageModel {
  /// A hybrid of this model: attention at `layers` is replaced by seeded Mamba-2 mixers, the
  /// connector is copied because it trains, and everything else is shared.
  ///
  /// - Parameters:
  ///   - layers: blocks that have attention.
  ///   - teacher: whose attention the mixers are seeded from; nil: this model's own.
  ///   - seed: draws what the seeding does not copy.
  /// - Throws: ``ConfigurationError`` when the configuration cannot describe the student,
  ///   ``StudentError`` when a layer has no attention.
  /// - Precondition: every layer exists.
  public func student(
    replacing layers: [Int], _ seeding: AttentionSeeding, from teacher: VisionLanguageModel? = nil,
    seed: UInt64
  ) throws -> VisionLanguageModel {
    try student(replacing: layers, from: teacher) { decoder, mamba in
      decoder.replacingAttention(
        at: layers, with: mamba, seeding, from: teacher?.decoder, seed: seed)
    }
  }

  /// The same, its mixers calibrated: fitted to what the attention that they replace does with samples
  /// of the training data.
  ///
  /// - Parameters:
  ///   - layers: blocks that have attention.
  ///   - data: what the student will be trained on.
  ///   - seed: draws the samples, and what is neither copied nor fitted.
  ///   - report: called after each layer.
  /// - Throws: ``CalibrationError``, ``SampleError``, ``ConfigurationError`` when the configuration
  ///   cannot describe the student, ``StudentError`` when a layer has no attention, and what `report`
  ///   throws.
  /// - Precondition: every layer exists, and the calibration has no problem.
  public func student(
    replacing layers: [Int], calibratedOn data: any TrainingData, _ calibration: Calibration,
    seed: UInt64, report: (CalibrationEvent) throws -> Void = { _ in }
  ) throws -> VisionLanguageModel {
    require(calibration.problem == nil, "calibration: \(calibration.problem ?? "")")
    var walk = try CalibrationWalk(self, data, calibration, seed: seed, report)
    return try student(replacing: layers) { decoder, mamba in
      // In order: the walk goes through the decoder once.
      try decoder.replacingAttention(at: layers.sorted()) { layer, path, attention in
        let examples = walk.examples(of: layer)
        do {
          let (mixer, residuals) = try Mamba2Mixer.calibrated(
            mamba, named: path, seededFrom: attention, to: examples.fitted,
            heldBack: examples.heldBack, calibration.mixers, seed: seed)
          try report(.layer(layer, residuals))
          return mixer
        } catch let error as LinearAlgebra.Failure {
          throw CalibrationError.unsolvable(layer: layer, reason: "\(error)")
        }
      }
    }
  }

  private func student(
    replacing layers: [Int], from teacher: VisionLanguageModel? = nil,
    _ replace: (HybridDecoder, Mamba2Configuration) throws -> HybridDecoder
  ) throws -> VisionLanguageModel {
    try checkAttention(at: layers)
    try teacher?.checkAttention(at: layers)
    var student = self
    let text = configuration.text
    let mamba =
      configuration.mamba?.configuration
      ?? Mamba2Configuration(
        modelWidth: text.hiddenSize, heads: text.heads, keyValueHeads: text.keyValueHeads)
    student.decoder = try replace(decoder, mamba)
    student.connector = connector.copy()
    student.configuration.mamba = try MambaPlacement(
      mamba, layers: student.decoder.mambaLayers, of: configuration.source.object("text_config"))
    return student
  }

  /// What distillation trains: the mixers that replaced attention, and the connector. An explicit
  /// list; names play no part in it.
  public var distilledParameters: [Parameter] { mixerParameters + connector.parameters }

  /// What replaced attention.
  var mixerParameters: [Parameter] {
    decoder.blocks.flatMap { block -> [Parameter] in
      if case .mamba(let mixer) = block.mixer { mixer.parameters } else { [] }
    }
  }
}

/// A folder that was named as a student's is not one of its teacher.
public struct StudentError: Error, Sendable, CustomStringConvertible {
  public let description: String
}

extension VisionLanguageModel {
  /// This model, found to be a hybrid that `teacher` can teach.
  /// - Throws: ``StudentError`` when it has no Mamba-2 layers or other widths.
  public func checkedAsStudent(of teacher: VisionLanguageModel) throws -> VisionLanguageModel {
    let file = configuration.source.file
    guard !decoder.mambaLayers.isEmpty else {
      throw StudentError(
        description: "\(file): the student has no Mamba-2 layers; 'matvlm convert' makes one")
    }
    guard configuration.text == teacher.configuration.text,
      configuration.vision == teacher.configuration.vision
    else {
      throw StudentError(
        description: "\(file): text_config or vision_config differ from the teacher's")
    }
    return self
  }

  /// This student with more layers replaced: those that are Mamba-2 already stay as they are, the
  /// others are seeded from `teacher` (MambaInLlama's progressive distillation, arXiv:2408.15237).
  ///
  /// - Parameters:
  ///   - layers: all that are to be Mamba-2.
  ///   - seed: draws what the seeding does not copy.
  /// - Throws: ``StudentError`` when this student has Mamba-2 layers beyond these, or the teacher no
  ///   attention in a new one.
  /// - Precondition: every layer exists, and this is a student of `teacher`.
  public func extended(
    to layers: [Int], _ seeding: AttentionSeeding, from teacher: VisionLanguageModel, seed: UInt64
  ) throws -> VisionLanguageModel {
    let own = Set(decoder.mambaLayers)
    let beyond = own.subtracting(layers).sorted()
    guard beyond.isEmpty else {
      throw StudentError(
        description: "\(configuration.source.file): layers \(Self.list(beyond)) of the student are "
          + "Mamba-2 already and cannot be attention again; replace \(Self.list(own.sorted())) and "
          + "more")
    }
    let new = layers.filter { !own.contains($0) }
    return new.isEmpty ? self : try student(replacing: new, seeding, from: teacher, seed: seed)
  }

  /// - Throws: ``StudentError`` when mixers and attention cannot be compared head by head.
  public func checkHeads(asOf teacher: VisionLanguageModel) throws {
    let (own, other) = (configuration.mamba?.configuration.heads, teacher.configuration.text.heads)
    if let own, own != other {
      throw StudentError(
        description: "\(configuration.source.file): matrices are compared head by head, but the "
          + "mixers have \(own) heads and the attention \(other)")
    }
  }

  private func checkAttention(at layers: [Int]) throws {
    let replaced = layers.filter(decoder.mambaLayers.contains)
    guard replaced.isEmpty else {
      throw StudentError(
        description: "\(configuration.source.file): layers \(Self.list(replaced)) are Mamba-2 "
          + "already and have no attention to replace")
    }
  }

  private static func list(_ layers: [Int]) -> String {
    layers.map(String.init).joined(separator: ", ")
  }
}
