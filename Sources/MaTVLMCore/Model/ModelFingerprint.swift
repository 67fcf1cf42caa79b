import MaTVLMTensor

extension VisionLanguageModel {
  /// Tells this model from others, so that a state is not given to a model that did not make it:
  /// a number over the configuration and, for each parameter, its name, type, shape and first values.
  /// Training changes all rows of a matrix, so that a part of each is enough. It is no protection
  /// from forgery.
  var fingerprint: String {
    var hash = FNV1a()
    hash.add(JSONValue.object(configuration.source.values).text())
    hash.add(JSONValue.object(configuration.mamba?.values ?? [:]).text())
    for parameter in parameters {
      let value = parameter.value
      hash.add("\(parameter.name) \(value.dtype) \(value.shape)".utf8)
      hash.add(value.leadingBytes(atMost: 4096))
    }
    return String(hash.value, radix: 16)
  }
}

/// The 64-bit hash of Fowler, Noll and Vo (RFC 9923): the same on every platform.
struct FNV1a {
  private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

  mutating func add(_ bytes: some Sequence<UInt8>) {
    for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01B3 }
  }
}
