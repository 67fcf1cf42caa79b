import Foundation
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Writing checkpoints")
struct CheckpointWritingTests {
  let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  @Test("a small model is one file, equal to what the reference implementation wrote")
  func singleFile() throws {
    let golden = try Checkpoint.open(fixture("student-bf16"))
    try Checkpoint.write(golden.unused, to: folder.url)
    #expect(try folder.content == ["model.safetensors"])
    #expect(
      try Data(contentsOf: folder["model.safetensors"])
        == Data(contentsOf: fixture("student-bf16/model.safetensors")))
  }

  @Test("a large model is sharded, and every tensor keeps its bytes")
  func shards() throws {
    let golden = try Checkpoint.open(fixture("teacher"))
    let tensors = golden.names.compactMap(golden.tensor)
    try Checkpoint.write(tensors, to: folder.url, maximumShardBytes: 400_000)
    let files = try folder.content
    #expect(files.count > 3 && files.last == "model.safetensors.index.json")
    #expect(files[0] == String(format: "model-00001-of-%05d.safetensors", files.count - 1))
    let copy = try Checkpoint.open(folder.url)
    #expect(copy.names.sorted() == golden.names.sorted())
    for file in golden.files {
      for name in file.names {
        let other = try #require(copy.files.first { $0.entry(name) != nil })
        #expect(other.entry(name)?.shape == file.entry(name)?.shape)
        #expect(
          try Array(#require(other.bytes(name))) == Array(#require(file.bytes(name))), "\(name)")
      }
    }
    let index = try JSONSerialization.jsonObject(
      with: Data(contentsOf: folder["model.safetensors.index.json"]))
    let members = try #require(index as? [String: [String: Any]])
    #expect(members["metadata"]?["total_size"] as? Int == tensors.map(\.byteCount).reduce(0, +))
    for file in copy.files {
      let bytes = file.entries.map(\.range.count)
      #expect(bytes.reduce(0, +) <= 400_000 || bytes.count == 1)
    }
  }

  @Test("parameters are rounded to the type asked for, and all are aligned")
  func conversion() throws {
    let values: [Float] = [1, 1 + 0x1p-8, 1 + 0x1.8p-7, -3.5, 65504]  // ties go to even
    let parameter = Parameter("a.weight", Tensor(values, [5]))
    try Checkpoint.write(
      [
        CheckpointTensor(parameter, as: .bfloat16),
        CheckpointTensor("half", Tensor(values, [5]), as: .float16),
        CheckpointTensor("whole", Tensor(values, [5])),
        CheckpointTensor("ids", Tensor(indices: [1, -1])),
      ], to: folder.url)
    let checkpoint = try Checkpoint.open(folder.url)
    let file = checkpoint.files[0]
    #expect(file.metadata == ["format": "pt"])
    #expect(file.names == ["whole", "ids", "a.weight", "half"])
    #expect(file.entries.allSatisfy { $0.range.lowerBound % $0.type.byteCount == 0 })
    let source = checkpoint.source()
    let rounded = try source.matrix("a.weight", [5], .zeros).value
    #expect(rounded.dtype == .bfloat16)
    #expect(rounded.array() == [1, 1, 1 + 0x1p-6, -3.5, 65536])
    #expect(try source.matrix("half", [5], .zeros).value.array() == values)
    #expect(try source.matrix("whole", [5], .zeros).value.array() == values)
    #expect(file.bytes("ids").map(Array.init) == [1, 0, 0, 0, 255, 255, 255, 255])
  }

  @Test("tensors of more than one chunk are converted whole")
  func chunks() throws {
    let count = (1 << 22) + 3
    let fresh = ParameterSource.fresh(seed: 1, matrices: .bfloat16)
    let matrix = try fresh.matrix("m", [1, count], .uniform(bound: 1))
    try Checkpoint.write([CheckpointTensor(matrix, as: .float32)], to: folder.url)
    let read = try Checkpoint.open(folder.url).source().matrix("m", [1, count], .zeros)
    #expect(read.value.dtype == .float32)
    #expect(read.value.array() == matrix.value.array())
  }
}
