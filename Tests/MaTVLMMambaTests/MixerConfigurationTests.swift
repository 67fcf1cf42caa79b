import Foundation
import MaTVLMMamba
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("mamba_config.json and the tensors of a mixer")
struct MixerConfigurationTests {
  private let whole: JSONValue

  init() throws { whole = try Golden.decode("student/mamba_config.json") }

  private func read(_ value: JSONValue) throws -> Mamba2Configuration {
    try Mamba2Configuration(ConfigurationObject(value, file: "mamba_config.json"))
  }

  @Test("the authors' file says what the sizes say")
  func authors() throws {
    let configuration = try read(whole)
    #expect(configuration == Mamba2Configuration(modelWidth: 64, heads: 4))
    #expect(configuration.projectionWidth == 260 && configuration.convolutionWidth == 192)
    #expect(configuration.groups == 4 && configuration.taps == 4)
  }

  @Test("older files lack is_bias and bidirectional")
  func older() throws {
    let old = whole.setting(["is_bias"], to: nil).setting(["bidirectional"], to: nil)
    #expect(try read(old) == read(whole))
    #expect(try read(whole.setting(["is_bias"], to: .bool(true))).hasProjectionBias)
  }

  @Test(
    "a missing key is named",
    arguments: [
      ["d_model"], ["d_inner"], ["d_xb"], ["ssm_cfg"], ["ssm_cfg", "ngroups"],
      ["ssm_cfg", "d_state"],
    ])
  func missing(_ path: [String]) {
    #expect(
      throws: ConfigurationError.missing(
        file: "mamba_config.json", key: path.joined(separator: "."))
    ) { try read(whole.setting(path, to: nil)) }
  }

  private static let contradictions: [([String], JSONValue)] = [
    (["d_inner"], 128), (["d_inner"], 0), (["d_xb"], 24), (["d_xb"], 48), (["d_xb"], 128),
    (["d_xb"], -16), (["ssm_cfg", "ngroups"], 0), (["ssm_cfg", "d_state"], 0),
    (["ssm_cfg", "d_conv"], 1), (["bidirectional"], .bool(true)), (["is_bias"], 1),
    (["ssm_cfg"], .array([])), (["d_model"], 64.5),
  ]

  @Test("a contradiction is named", arguments: contradictions.indices)
  func contradiction(_ index: Int) {
    let (path, value) = Self.contradictions[index]
    let error = #expect(throws: ConfigurationError.self) { try read(whole.setting(path, to: value)) }
    guard case .wrong(_, let key, _, _) = error else {
      Issue.record("\(path) = \(value): \(String(describing: error))")
      return
    }
    #expect(key == path.joined(separator: "."))
  }

  @Test("biases are taken when the file has them, whatever is_bias says")
  func biases() throws {
    let golden = try Golden.tensors("mixers.safetensors")
    let prefix = "grouped.weight."
    let folder = try TemporaryFolder()
    try Checkpoint.write(
      golden.names.filter { $0.hasPrefix(prefix) }.map {
        CheckpointTensor(
          "mamba." + $0.dropFirst(prefix.count), try golden.tensor($0))
      }, to: folder.url)
    let configuration = Mamba2Configuration(modelWidth: 96, heads: 6, keyValueHeads: 2)
    let checkpoint = try Checkpoint.open(folder.url)
    let mixer = try Mamba2Mixer(configuration, checkpoint.source()["mamba"])
    #expect(mixer.inputProjection.bias?.value.array() == (try golden.values(prefix + "in_proj.bias")))
    #expect(
      mixer.outputProjection.bias?.value.array() == (try golden.values(prefix + "out_proj.bias")))
    try checkpoint.requireNothingUnexpected()

    let wider = Mamba2Configuration(modelWidth: 96, heads: 6)
    #expect(throws: CheckpointError.self) {
      try Mamba2Mixer(wider, try Checkpoint.open(folder.url).source()["mamba"])
    }
  }
}
