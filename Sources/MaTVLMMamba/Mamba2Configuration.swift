import MaTVLMTensor

/// The numbers of the mixers that replace attention, as the authors' `mamba_config.json` has them.
public struct Mamba2Configuration: Sendable, Hashable {
  /// Model width D.
  public let modelWidth: Int
  /// Width of z, C and the scan's output.
  public let innerWidth: Int
  /// Width of x and of B; smaller than ``innerWidth`` when heads share them.
  public let sharedWidth: Int
  /// Heads H: each has its own Δ, A, D and C.
  public let heads: Int
  /// Columns of a head of B and C, and of a head of x: N = P.
  public let stateWidth: Int
  /// Taps K of the causal convolution.
  public let taps: Int
  /// Whether the projections have biases; the released students have none.
  public let hasProjectionBias: Bool

  /// The ε of the gated norm, fixed in the authors' code.
  package static let normEpsilon: Float = 1e-5
  /// Rows that the scan multiplies out at once. The authors use 256; with N = P = 80 the quadratic
  /// and the linear part balance near 80, and the result differs by rounding only.
  package static let chunk = 64

  /// - Precondition: the widths divide into heads.
  public init(
    modelWidth: Int, heads: Int, keyValueHeads: Int? = nil, taps: Int = 4,
    hasProjectionBias: Bool = false
  ) {
    require(
      modelWidth % heads == 0 && heads % (keyValueHeads ?? heads) == 0,
      "Mamba2Configuration: width \(modelWidth), \(heads) heads, \(keyValueHeads ?? heads) shared")
    self.modelWidth = modelWidth
    innerWidth = modelWidth
    stateWidth = modelWidth / heads
    sharedWidth = (keyValueHeads ?? heads) * stateWidth
    self.heads = heads
    self.taps = taps
    self.hasProjectionBias = hasProjectionBias
  }

  /// Reads `mamba_config.json`.
  /// - Throws: ``ConfigurationError`` for a missing key or one that describes another mixer.
  public init(_ source: ConfigurationObject) throws {
    modelWidth = try source.integer("d_model")
    innerWidth = try source.integer("d_inner")
    sharedWidth = try source.integer("d_xb")
    let mixer = try source.object("ssm_cfg")
    heads = try mixer.integer("ngroups", in: 1...4096)
    stateWidth = try mixer.integer("d_state", in: 1...4096)
    taps = mixer.contains("d_conv") ? try mixer.integer("d_conv", in: 2...64) : 4
    // Older files lack these two keys, and mean false.
    hasProjectionBias = source.contains("is_bias") ? try source.bool("is_bias") : false
    if source.contains("bidirectional"), try source.bool("bidirectional") {
      throw source.wrong("bidirectional", expected: "false: the authors' code has no such mixer")
    }
    guard innerWidth == heads * stateWidth else {
      throw source.wrong("d_inner", expected: "ngroups × d_state = \(heads * stateWidth)")
    }
    guard sharedWidth % stateWidth == 0, innerWidth % sharedWidth == 0 else {
      throw source.wrong("d_xb", expected: "heads of \(stateWidth) that divide \(innerWidth)")
    }
  }

  /// Heads of x and of B.
  public var groups: Int { sharedWidth / stateWidth }
  /// Columns that the convolution sees: x, B and C.
  public var convolutionWidth: Int { 2 * sharedWidth + innerWidth }
  /// Rows of the input projection: z, x, B, C, Δ.
  public var projectionWidth: Int { innerWidth + convolutionWidth + heads }

  package var geometry: StateSpaceGeometry {
    StateSpaceGeometry(
      heads: heads, groups: groups, headWidth: stateWidth, stateWidth: stateWidth,
      chunk: Self.chunk)
  }
}
