import MaTVLMTensor

extension Quantization {
  /// The key of `config.json`.
  static let key = "quantization"

  /// What `config.json` says of its folder's matrices: `"quantization": {"bits": 8, "group_size": 64}`;
  /// nil when it says nothing.
  /// - Throws: ``ConfigurationError`` when it says what cannot be.
  init?(_ model: ConfigurationObject) throws {
    guard model.contains(Self.key) else { return nil }
    let object = try model.object(Self.key)
    guard let code = Code(rawValue: try object.integer("bits")) else {
      throw object.wrong("bits", expected: "4 or 8")
    }
    let group = try object.integer("group_size")
    guard Self.groups.contains(group) else {
      throw object.wrong("group_size", expected: "one of \(Self.groups)")
    }
    self.init(code, group: group)
  }

  var json: JSONValue {
    .object(["bits": .integer(code.rawValue), "group_size": .integer(group)])
  }
}

extension VisionLanguageModel {
  /// How the decoder's matrices are quantised; nil: they are held in floating point.
  public var quantization: Quantization? {
    guard case .quantized(let quantization) = decoder.embedding.weight.value.dtype else {
      return nil
    }
    return quantization
  }
}

/// A folder's weights cannot be quantised as asked for.
public struct QuantizationError: Error, Sendable, CustomStringConvertible {
  public let description: String
}
