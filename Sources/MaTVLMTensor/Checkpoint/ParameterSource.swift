/// Where the parameters of a layer come from: a place in a checkpoint, or nowhere yet.
///
/// A layer asks for its parameters by the last part of their names and hands its children a source
/// for their part: loading is construction.
public struct ParameterSource: Sendable {
  /// What comes before the names of parameters: `language_model.model`; empty at the root.
  public let path: String
  public let device: Device

  private enum Origin: Sendable {
    case checkpoint(Checkpoint, WeightFormat)
    case fresh(RandomGenerator, matrices: DType)
  }
  private let origin: Origin

  private init(path: String, on device: Device, _ origin: Origin) {
    (self.path, self.device, self.origin) = (path, device, origin)
  }

  init(_ checkpoint: Checkpoint, _ format: WeightFormat, on device: Device) {
    self.init(path: "", on: device, .checkpoint(checkpoint, format))
  }

  /// A source that makes every parameter by its ``Initialization``.
  ///
  /// Values depend on the seed and the parameter's whole name only, not on what else is made.
  /// - Parameter matrices: the type of what ``matrix(_:_:_:)`` returns.
  /// - Precondition: `matrices` is a type of weights, and one that the device holds.
  public static func fresh(
    seed: UInt64, matrices: DType = .float32, on device: Device = .cpu
  ) -> ParameterSource {
    require(matrices.isWeight, "ParameterSource: matrices of \(matrices)")
    return ParameterSource(
      path: "", on: device, .fresh(RandomGenerator(seed: seed), matrices: matrices))
  }

  /// The source of a child: `path.child`.
  public subscript(_ child: String) -> ParameterSource {
    ParameterSource(path: name(child), on: device, origin)
  }

  /// The source of a child that is numbered.
  public subscript(_ index: Int) -> ParameterSource { self[String(index)] }

  /// Whether a checkpoint has this tensor; never so for a fresh source.
  public func contains(_ name: String) -> Bool {
    switch origin {
    case .checkpoint(let checkpoint, _): checkpoint.contains(self.name(name))
    case .fresh: false
    }
  }

  /// A vector of `count` weights, float32 however it is stored.
  /// - Throws: ``CheckpointError`` naming file and tensor when it is missing, of another shape or
  ///   not stored as a floating-point type; a fresh source throws nothing.
  public func vector(_ name: String, _ count: Int, _ initial: Initialization) throws -> Parameter {
    try vector(name, shape: [count], initial)
  }

  /// The same for weights that are one number per channel and tap but have more dimensions, such as
  /// a depthwise convolution's `[C, 1, K]`.
  public func vector(
    _ name: String, shape: Shape, _ initial: Initialization
  ) throws -> Parameter {
    try parameter(name, shape, initial, storedAs: .float32)
  }

  /// A matrix (or a table, or a convolution's filters) as stored: float32, bfloat16 or float16, in
  /// place in the mapped file where the device can and the file has it aligned; or quantised, if it is
  /// stored so or the source's ``WeightFormat`` asks for it.
  /// - Throws: as ``vector(_:_:_:)``.
  public func matrix(
    _ name: String, _ shape: Shape, _ initial: Initialization
  ) throws -> Parameter {
    try parameter(name, shape, initial, storedAs: nil)
  }

  private func name(_ last: String) -> String { path.isEmpty ? last : path + "." + last }

  private func parameter(
    _ last: String, _ shape: Shape, _ initial: Initialization, storedAs dtype: DType?
  ) throws -> Parameter {
    let name = name(last)
    switch origin {
    case .checkpoint(let checkpoint, let format):
      guard let dtype else {
        return Parameter(
          name, try checkpoint.matrix(name, shape, format, on: device.backend))
      }
      return Parameter(name, try checkpoint.value(of: name, shape, as: dtype, on: device.backend))
    case .fresh(let generator, let matrices):
      let dtype = dtype ?? matrices
      let drawn = initial.tensor(
        shape, dtype.isFloatingPoint ? dtype : .bfloat16, on: device.backend,
        using: generator.split(fingerprint(name)))
      return Parameter(
        name, drawn.dtype == dtype ? drawn : device.backend.convert(drawn, to: dtype))
    }
  }
}

/// FNV-1a with 64 bits (Fowler, Noll, Vo): the same on every platform, unlike `Hasher`.
private func fingerprint(_ text: String) -> UInt64 {
  text.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
}
