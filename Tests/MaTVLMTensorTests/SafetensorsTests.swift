import Foundation
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Safetensors files")
struct SafetensorsTests {
  let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  private func open(_ header: String, data: [UInt8] = []) throws -> SafetensorsFile {
    try SafetensorsFile(folder.write("a.safetensors", safetensors(header, data: data)))
  }

  @Test("types, shapes, metadata and bytes of a file written by hand")
  func contentByHand() throws {
    let file = try open(
      """
      {"__metadata__":{"format":"pt","note":"\\u00e9 \\ud83d\\ude00"},
       "f":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},
       "b":{"dtype":"BF16","shape":[1],"data_offsets":[8,10]},
       "h":{"dtype":"F16","shape":[],"data_offsets":[10,12]},
       "n":{"dtype":"I64","shape":[3,0],"data_offsets":[12,12]}}  \n
      """,
      data: [0, 0, 0xC0, 0x3F, 0, 0, 0, 0xC0, 0xC0, 0x3F, 0, 0x3E])
    #expect(file.metadata == ["format": "pt", "note": "é 😀"])
    #expect(file.names == ["f", "b", "h", "n"])
    #expect(file.entries.map(\.type) == [.float32, .bfloat16, .float16, .int64])
    #expect(file.entries.map(\.shape) == [[1, 2], [1], [], [3, 0]])
    #expect(file.bytes("f").map(Array.init) == [0, 0, 0xC0, 0x3F, 0, 0, 0, 0xC0])
    #expect(file.bytes("h").map(Array.init) == [0, 0x3E])
    #expect(file.bytes("n")?.count == 0)
    #expect(file.bytes("absent") == nil)
  }

  @Test("a header without tensors is a file without tensors")
  func noTensors() throws {
    #expect(try open("{}").names.isEmpty)
  }

  @Test(
    "what the reference implementation wrote is written again byte for byte",
    arguments: [
      "student-bf16/model.safetensors", "teacher/model-00001-of-00002.safetensors",
      "teacher/model-00002-of-00002.safetensors",
    ])
  func saveAfterLoad(_ path: String) throws {
    let original = try fixture(path)
    let file = try SafetensorsFile(original)
    #expect(file.entries.count > 60)
    let tensors = file.entries.map { CheckpointTensor($0, of: file) }
    let copy = folder["copy.safetensors"]
    try SafetensorsWriter.write(tensors, metadata: file.metadata, to: copy)
    #expect(try Data(contentsOf: copy) == Data(contentsOf: original))
  }

  @Test("names that need escapes come back")
  func escapedNames() throws {
    let names = ["a\"b\\c", "line\nfeed\u{1}", "größe/😀"]
    let url = folder["names.safetensors"]
    try SafetensorsWriter.write(
      names.map { CheckpointTensor($0, .uint8, [1], bytes: Data([7])) }, to: url)
    #expect(try SafetensorsFile(url).names == names)
  }

  @Test("data begins at a multiple of eight")
  func padding() throws {
    for length in 1...9 {
      let url = folder["padded.safetensors"]
      let name = String(repeating: "n", count: length)
      try SafetensorsWriter.write([CheckpointTensor(name, Tensor([1], [1]))], to: url)
      let entry = try #require(try SafetensorsFile(url).entry(name))
      #expect(entry.range.lowerBound % 8 == 0)
    }
  }

  @Test("a few thousand mutated headers never crash, and what opens lies within the file")
  func fuzz() throws {
    let header = """
      {"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},\
      "b\\u0041":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}}
      """
    let original = safetensors(header, data: Array(0..<32))
    var generator = RandomGenerator(seed: 20)
    let tokens = [
      "0", "9", "-1", "1e9", "\"", "{", "}", "[", "]", ",", ":", "\\u", "\\ud800", "\u{0}", "null",
      "18446744073709551616", "9223372036854775807", "\"a\":", "é",
    ].map { Array($0.utf8) }
    var opened = 0
    for round in 0..<4000 {
      var bytes = original
      for _ in 0...generator.next() % 3 where !bytes.isEmpty {
        let position = Int(generator.next() % UInt64(bytes.count))
        switch generator.next() % 5 {
        case 0: bytes[position] = UInt8(truncatingIfNeeded: generator.next())
        case 1: bytes[position] ^= 1 << UInt8(generator.next() % 8)
        case 2: bytes.removeSubrange(position..<min(bytes.count, position + round % 7 + 1))
        case 3: bytes.removeLast(bytes.count - position)
        default:
          bytes.insert(
            contentsOf: tokens[Int(generator.next() % UInt64(tokens.count))], at: position)
          // Half of the time the length is right again, so that the change is what is judged.
          if round % 2 == 0, bytes.count >= 40 { bytes[0] = UInt8(min(255, bytes.count - 40)) }
        }
      }
      bytes.withUnsafeBytes { file in
        guard let header = try? SafetensorsHeader(of: file, path: "fuzzed") else { return }
        opened += 1
        for entry in header.entries {
          #expect(entry.range.lowerBound >= 8 && entry.range.upperBound <= file.count)
          #expect(entry.range.count == entry.shape.count * entry.type.byteCount)
        }
      }
    }
    #expect(opened > 0 && opened < 4000)
  }
}
