import MaTVLMMamba
import MaTVLMTensor

extension VisionLanguageModel {
  /// A hybrid of this model: attention at `layers` is replaced by seeded Mamba-2 mixers, the
  /// connector is copied because it trains, and everything else is shared.
  ///
  /// - Parameters:
  ///   - layers: blocks that have attention.
  ///   - seed: draws what the seeding does not copy.
  /// - Throws: ``ConfigurationError`` when the configuration cannot describe the student.
  /// - Precondition: every layer exists and has attention.
  public func student(
    replacing layers: [Int], _ seeding: AttentionSeeding, seed: UInt64
  ) throws -> VisionLanguageModel {
    var student = self
    let text = configuration.text
    let mamba =
      configuration.mamba?.configuration
      ?? Mamba2Configuration(
        modelWidth: text.hiddenSize, heads: text.heads, keyValueHeads: text.keyValueHeads)
    student.decoder = decoder.replacingAttention(at: layers, with: mamba, seeding, seed: seed)
    student.connector = connector.copy()
    student.configuration.mamba = try MambaPlacement(
      mamba, layers: student.decoder.mambaLayers, of: configuration.source.object("text_config"))
    return student
  }

  /// What distillation trains: the mixers that replaced attention, and the connector. An explicit
  /// list; names play no part in it.
  public var distilledParameters: [Parameter] {
    decoder.blocks.flatMap { block -> [Parameter] in
      if case .mamba(let mixer) = block.mixer { mixer.parameters } else { [] }
    } + connector.parameters
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
}
