import MaTVLMMamba
import MaTVLMTensor
import MaTVLMTestSupport

/// One of PyTorch's mixers with its input, two sequences of equal length.
struct GoldenMixer: Sendable, CustomStringConvertible {
  let tag: String
  let configuration: Mamba2Configuration
  private let golden: GoldenTensors

  var description: String { tag }

  static let tags = ["plain", "grouped", "one", "phi"]

  init(_ tag: String) throws {
    self.tag = tag
    golden = try Golden.tensors("mixers.safetensors")
    let (width, heads, shared, bias) =
      switch tag {
      case "plain": (64, 4, 4, false)
      case "grouped": (96, 6, 2, true)
      case "one": (32, 2, 2, false)
      default: (160, 2, 2, false)
      }
    configuration = Mamba2Configuration(
      modelWidth: width, heads: heads, keyValueHeads: shared, hasProjectionBias: bias)
  }

  /// PyTorch's weights, in the names that a mixer asks for.
  func mixer(_ device: Device) throws -> Mamba2Mixer {
    let mixer = try Mamba2Mixer(configuration, .fresh(seed: 0, on: device))
    for parameter in mixer.parameters {
      parameter.assign(
        try golden.tensor("\(tag).weight.\(parameter.name)", as: parameter.shape, on: device))
    }
    return mixer
  }

  /// Names of all gradients, `u` included.
  var gradientNames: [String] {
    let prefix = "\(tag).gradient."
    return golden.names.filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
  }

  func gradient(_ name: String) throws -> [Float] { try values("gradient.\(name)") }

  func values(_ name: String) throws -> [Float] { try golden.values("\(tag).\(name)") }

  /// Rows of both sequences end to end: [2 L, D].
  func rows(_ name: String, _ device: Device) throws -> Tensor {
    let shape = try golden.shape("\(tag).\(name)")
    return try golden.tensor("\(tag).\(name)", as: [shape[0] * shape[1], shape[2]], on: device)
  }

  /// Rows of each sequence.
  var length: Int { get throws { try golden.shape("\(tag).u")[1] } }

  /// The last three rows that the convolution saw of each sequence, [3, channels] one after the
  /// other: PyTorch keeps the present one too, and channels first.
  func tails() throws -> [[Float]] {
    let (values, channels) = (try values("conv_state"), configuration.convolutionWidth)
    return (0..<2).map { sequence in
      (1..<4).flatMap { tap in
        (0..<channels).map { values[(sequence * channels + $0) * 4 + tap] }
      }
    }
  }

  /// The state of each sequence after its last row.
  func states() throws -> [[Float]] {
    let values = try values("ssm_state")
    return [Array(values[..<(values.count / 2)]), Array(values[(values.count / 2)...])]
  }
}

extension Tensor {
  func rows(_ range: Range<Int>) -> Tensor {
    gatherRows(self, Tensor(indices: Array(range), on: device))
  }
}
