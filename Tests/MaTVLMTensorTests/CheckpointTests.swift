import Foundation
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Checkpoint folders")
struct CheckpointTests {
  let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  private func write(
    _ file: String, _ tensors: (String, [Float])..., in directory: String = "model"
  ) throws {
    try FileManager.default.createDirectory(
      at: folder[directory], withIntermediateDirectories: true)
    try SafetensorsWriter.write(
      tensors.map { CheckpointTensor($0.0, Tensor($0.1, [$0.1.count])) },
      to: folder[directory].appending(path: file))
  }

  private func writeIndex(_ map: String) throws {
    try folder.write(
      "model/model.safetensors.index.json", Data("{\"weight_map\":\(map)}".utf8))
  }

  /// Opens the folder and expects an error whose description has all of `parts`.
  private func expectError(
    _ parts: String..., at location: SourceLocation = #_sourceLocation
  ) {
    let error = #expect(throws: CheckpointError.self, sourceLocation: location) {
      try Checkpoint.open(folder["model"])
    }
    let text = error?.description ?? ""
    for part in parts { #expect(text.contains(part), "\(text)", sourceLocation: location) }
  }

  @Test("the golden teacher, in two shards")
  func shardedGolden() throws {
    let checkpoint = try Checkpoint.open(fixture("teacher"))
    #expect(checkpoint.files.count == 2)
    let source = checkpoint.source()["connector"]["_connector"]
    #expect(source.path == "connector._connector")
    let bias = try source[0].vector("bias", 64, .zeros)
    #expect(bias.name == "connector._connector.0.bias")
    let file = try #require(checkpoint.files.first { $0.entry(bias.name) != nil })
    let bytes = try #require(file.bytes(bias.name))
    #expect(bias.value.array() == bytes.withMemoryRebound(to: Float.self, Array.init))
  }

  // MARK: Folders that are none

  @Test func missingFolder() { expectError("model", "there is no such folder") }

  @Test func fileInPlaceOfFolder() throws {
    try folder.write("model", Data("x".utf8))
    expectError("model", "found neither")
  }

  @Test func folderWithoutCheckpoint() throws {
    try folder.write("model/config.json", Data("{}".utf8))
    expectError("expected model.safetensors or model.safetensors.index.json")
  }

  // MARK: Index against shards

  @Test(arguments: [
    "../a.safetensors", "/etc/passwd", "sub/a.safetensors", "..", ".", "", "a\\u0000",
  ])
  func shardThatLeavesTheFolder(_ shard: String) throws {
    try write("a.safetensors", ("x", [1]))
    try writeIndex("{\"x\":\"\(shard)\"}")
    expectError("index.json", "tensor \"x\"", "is not the name of a file in this folder")
  }

  @Test func missingShard() throws {
    try write("a.safetensors", ("x", [1]))
    try writeIndex(#"{"x":"a.safetensors","y":"b.safetensors"}"#)
    expectError("b.safetensors", "cannot be read")
  }

  @Test func tensorMissingFromItsShard() throws {
    try write("a.safetensors", ("x", [1]))
    try writeIndex(#"{"x":"a.safetensors","y":"a.safetensors"}"#)
    expectError("index.json", "tensor \"y\"", "expected in \"a.safetensors\", not found")
  }

  @Test func tensorMissingFromTheIndex() throws {
    try write("a.safetensors", ("x", [1]), ("y", [2]))
    try writeIndex(#"{"x":"a.safetensors"}"#)
    expectError("index.json", "tensor \"y\"", "expected in no shard, found in a.safetensors")
  }

  @Test func tensorInAnotherShardThanSaid() throws {
    try write("a.safetensors", ("x", [1]))
    try write("b.safetensors", ("y", [1]))
    try writeIndex(#"{"x":"b.safetensors","y":"a.safetensors"}"#)
    expectError(
      "index.json", "tensor \"x\"", "expected in \"b.safetensors\", found in a.safetensors")
  }

  @Test func tensorInTwoShards() throws {
    try write("a.safetensors", ("x", [1]))
    try write("b.safetensors", ("x", [1]), ("y", [1]))
    try writeIndex(#"{"x":"a.safetensors","y":"b.safetensors"}"#)
    expectError("b.safetensors", "tensor \"x\"", "also in a.safetensors")
  }

  @Test func tensorTwiceInTheIndex() throws {
    try writeIndex(#"{"x":"a.safetensors","x":"b.safetensors"}"#)
    expectError("index.json", "\"x\" appears twice")
  }

  @Test func shardThatIsNoString() throws {
    try writeIndex(#"{"x":1}"#)
    expectError("index.json", "tensor \"x\"", "not a string")
  }

  @Test func indexWithoutMap() throws {
    try folder.write("model/model.safetensors.index.json", Data("{\"metadata\":{}}".utf8))
    expectError("index.json", "weight_map")
  }

  @Test func indexThatIsNotJSON() throws {
    try folder.write("model/model.safetensors.index.json", Data("oops".utf8))
    expectError("index.json", "JSON at byte 0")
  }

  @Test func damagedShard() throws {
    try folder.write("model/a.safetensors", Data([1, 2, 3]))
    try writeIndex(#"{"x":"a.safetensors"}"#)
    expectError("a.safetensors", "the file has 3")
  }

  // MARK: What a model asks for

  @Test func missingTensor() throws {
    try write("model.safetensors", ("layer.weight", [1]))
    let source = try Checkpoint.open(folder["model"]).source()
    #expect(source["layer"].contains("weight") && !source["layer"].contains("bias"))
    #expect(
      throws: CheckpointError.missingTensor(
        path: folder["model/model.safetensors"].path, tensor: "layer.bias")
    ) { try source["layer"].vector("bias", 1, .zeros) }
  }

  @Test func wrongShape() throws {
    try write("model.safetensors", ("weight", [1, 2]))
    let source = try Checkpoint.open(folder["model"]).source()
    for shape in [[3], [2, 1], [1, 2]] as [Shape] {
      #expect(
        throws: CheckpointError.wrongShape(
          path: folder["model/model.safetensors"].path, tensor: "weight", expected: shape,
          found: [2])
      ) { try source.matrix("weight", shape, .zeros) }
    }
  }

  @Test func typeThatIsNoParameter() throws {
    try folder.write("model/x", Data())
    try SafetensorsWriter.write(
      [CheckpointTensor("weight", .int64, [1], bytes: Data(count: 8))],
      to: folder["model/model.safetensors"])
    let source = try Checkpoint.open(folder["model"]).source()
    let error = #expect(throws: CheckpointError.self) { try source.vector("weight", 1, .zeros) }
    #expect(
      error
        == .wrongType(
          path: folder["model/model.safetensors"].path, tensor: "weight", found: "I64"))
    #expect(error?.description.contains("I64") == true)
  }

  @Test("what nobody asked for is named, unless it may be there")
  func unexpectedTensors() throws {
    try write("model.safetensors", ("a", [1]), ("head.b", [1]), ("c", [1]))
    let checkpoint = try Checkpoint.open(folder["model"])
    _ = try checkpoint.source().vector("a", 1, .zeros)
    #expect(checkpoint.unused.map(\.name) == ["head.b", "c"])
    #expect(
      throws: CheckpointError.unexpectedTensors(
        path: folder["model/model.safetensors"].path, tensors: ["c"])
    ) { try checkpoint.requireNothingUnexpected { $0.hasPrefix("head.") } }
    _ = try checkpoint.source().vector("c", 1, .zeros)
    try checkpoint.requireNothingUnexpected { $0.hasPrefix("head.") }
  }

  @Test("aligned matrices stay in the mapped file, others are copied; vectors become float32")
  func placement() throws {
    let halves = Data([0xC0, 0x3F, 0x00, 0xC0])  // 1.5, −2 in bfloat16
    let url = folder["model.safetensors"]
    try SafetensorsWriter.write(
      [
        CheckpointTensor("even", .bfloat16, [1, 2], bytes: halves),
        CheckpointTensor("byte", .uint8, [1], bytes: Data([9])),
        CheckpointTensor("odd", .bfloat16, [1, 2], bytes: halves),
        CheckpointTensor("vector", .float16, [2], bytes: Data([0x00, 0x3E, 0x00, 0xC0])),
      ], to: url)
    let source = try Checkpoint.open(folder.url).source()
    let even = try source.matrix("even", [1, 2], .zeros)
    let odd = try source.matrix("odd", [1, 2], .zeros)
    let vector = try source.vector("vector", 2, .zeros)
    #expect(even.value.storage.isBorrowed && !odd.value.storage.isBorrowed)
    try FileManager.default.removeItem(at: url)  // the mapping outlives the name
    #expect(even.value.dtype == .bfloat16 && odd.value.dtype == .bfloat16)
    #expect(even.value.array() == [1.5, -2] && odd.value.array() == [1.5, -2])
    #expect(vector.value.dtype == .float32 && vector.value.array() == [1.5, -2])
  }
}
