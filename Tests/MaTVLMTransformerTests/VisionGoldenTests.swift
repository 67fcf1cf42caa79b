import MaTVLMImages
import MaTVLMTensor
import MaTVLMTestSupport
import MaTVLMTransformer
import Testing

@Suite("Vision tower and connector against PyTorch")
struct VisionGoldenTests {
  private static let names = ["a.png", "c.jpg"]
  private let golden: GoldenTensors
  private let images: GoldenTensors
  private let checkpoint: Checkpoint
  private let model: ConfigurationObject
  private let configuration: VisionConfiguration

  init() throws {
    golden = try Golden.tensors("forward.safetensors")
    images = try Golden.tensors("images.safetensors")
    let folder = Golden.folder.appending(path: "teacher")
    checkpoint = try Checkpoint.open(folder)
    model = try ConfigurationObject(contentsOf: folder.appending(path: "config.json"))
    configuration = try VisionConfiguration(model.object("vision_config"), model: model)
  }

  private func picture(_ name: String) throws -> RGBImage {
    let size = configuration.imageSize
    return RGBImage(width: size, height: size, pixels: try images.bytes("\(name).square"))
  }

  private func tower(_ device: Device) throws -> VisionTower {
    let source = checkpoint.source(on: device)
    return try VisionTower(
      source["vision_tower"]["_vision_tower"]["vision_model"], configuration)
  }

  @Test("features and connector rows, one picture at a time", arguments: CPUVariant.all, names)
  func single(_ variant: CPUVariant, _ name: String) throws {
    let patches = ImagePatches.rows(of: [try picture(name)], configuration, on: variant.device)
    let features = try tower(variant.device)(patches)
    let connector = try Connector(
      checkpoint.source(on: variant.device)["connector"]["_connector"],
      inputs: configuration.hiddenSize, outputs: 64, depth: Connector.depth(model))
    let expected = try golden.tensor("vision.\(name).features")
    #expect(mismatch(features, expected, relativeL2: 1e-5) == nil)
    let connected = try golden.tensor("vision.\(name).connected")
    #expect(mismatch(connector(features), connected, relativeL2: 1e-5) == nil)
  }

  @Test("pictures together do not see each other", arguments: CPUVariant.all)
  func together(_ variant: CPUVariant) throws {
    let pictures = try Self.names.map(picture)
    let features = try tower(variant.device)(
      ImagePatches.rows(of: pictures, configuration, on: variant.device))
    let expected = try Self.names.flatMap { try golden.values("vision.\($0).features") }
    #expect(mismatch(features.array(), expected, relativeL2: 1e-5) == nil)
    #expect(features.shape == [2 * configuration.tokens, configuration.hiddenSize])
  }

  @Test("a used layer more or less, all positions or all but the first")
  func selection() throws {
    func features(_ layer: Int, _ strategy: String) throws -> (VisionTower, [Float]) {
      let changed = JSONValue.object(model.values)
        .setting(["vision_feature_layer"], to: .integer(layer))
        .setting(["vision_feature_select_strategy"], to: .string(strategy))
      let whole = ConfigurationObject(changed)
      let configuration = try VisionConfiguration(whole.object("vision_config"), model: whole)
      let tower = try VisionTower(
        checkpoint.source()["vision_tower"]["_vision_tower"]["vision_model"], configuration)
      let patches = ImagePatches.rows(of: [try picture("a.png")], configuration, on: .cpu)
      return (tower, tower(patches).array())
    }
    let width = configuration.hiddenSize
    let (tower, kept) = try features(-2, "patch")
    let (_, all) = try features(-2, "cls_patch")
    #expect(Array(all.dropFirst(width)) == kept)
    #expect(all.count == configuration.positions * width)
    // Entry 2 of the states is what comes out of layer 1, as entry −2 of three layers is.
    #expect(try features(2, "patch").1 == kept)
    let (whole, last) = try features(-1, "patch")
    #expect(whole.configuration.usedLayers == 3 && tower.configuration.usedLayers == 2)
    #expect(last != kept)
    #expect(whole.parameterCount > tower.parameterCount)
  }

  @Test("a patch row is channel, then line, then column, from −1 to 1")
  func patches() throws {
    let size = configuration.imageSize
    // Red counts columns, green counts lines, blue is white.
    let pixels = (0..<size * size).flatMap { [$0 % size, $0 / size, 255].map { UInt8($0) } }
    let picture = RGBImage(width: size, height: size, pixels: pixels)
    let rows = ImagePatches.rows(of: [picture], configuration, on: .cpu)
    let side = configuration.patchSize
    #expect(rows.shape == [configuration.positions, 3 * side * side])
    let values = rows.array()
    func value(_ patch: Int, _ channel: Int, _ line: Int, _ column: Int) -> Float {
      values[((patch * 3 + channel) * side + line) * side + column]
    }
    func scaled(_ pixel: Int) -> Float { Float(pixel) / 127.5 - 1 }
    for (patch, line, column) in [(0, 0, 0), (1, 2, 3), (configuration.gridSize, 5, 0), (15, 13, 13)] {
      let (top, left) = (patch / configuration.gridSize * side, patch % configuration.gridSize * side)
      #expect(abs(value(patch, 0, line, column) - scaled(left + column)) < 1e-6)
      #expect(abs(value(patch, 1, line, column) - scaled(top + line)) < 1e-6)
      #expect(value(patch, 2, line, column) == 1)
    }
  }
}
