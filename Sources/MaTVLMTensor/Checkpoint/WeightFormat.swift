/// How the matrices of a checkpoint are stored, and how a model holds them.
public struct WeightFormat: Sendable, Hashable {
  /// Of matrices that are stored as `NAME.codes` and `NAME.scales`; nil: there are none.
  public var stored: Quantization?
  /// What matrices that are stored in floating point are rounded to; nil: held as stored.
  public var wanted: Quantization?

  public init(stored: Quantization? = nil, wanted: Quantization? = nil) {
    (self.stored, self.wanted) = (stored, wanted)
  }
}

/// The names that the two parts of a quantised matrix have in a checkpoint.
enum QuantizedName {
  static func codes(_ name: String) -> String { name + ".codes" }
  static func scales(_ name: String) -> String { name + ".scales" }
}
