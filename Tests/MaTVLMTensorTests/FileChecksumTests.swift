import Foundation
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Sizes and checksums of files")
struct FileChecksumTests {
  private static let published: [(bytes: Data, crc: UInt32)] = [
    (Data(count: 32), 0x8A91_36AA), (Data(repeating: 0xFF, count: 32), 0x62A8_AB43),
    (Data(0..<32), 0x46DD_794E), (Data((0..<32).reversed()), 0x113F_DB5C),
    (Data("123456789".utf8), 0xE306_9283),
  ]

  @Test("CRC-32C of the examples of RFC 3720, appendix B.4", arguments: published)
  func examples(_ example: (bytes: Data, crc: UInt32)) {
    #expect(CRC32C(example.bytes).value == example.crc)
  }

  @Test("Piece by piece, at any alignment, the checksum is that of the whole")
  func pieces() {
    let bytes = Data((0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 37) })
    for cut in [0, 1, 7, 8, 9, 500, 993, 1000] {
      var checksum = CRC32C()
      bytes.withUnsafeBytes { bytes in
        checksum.update(UnsafeRawBufferPointer(rebasing: bytes[..<cut]))
        checksum.update(UnsafeRawBufferPointer(rebasing: bytes[cut...]))
      }
      #expect(checksum.value == CRC32C(bytes).value)
    }
  }

  @Test("A manifest holds for what it was made of, and for nothing else")
  func manifest() throws {
    let folder = try TemporaryFolder()
    try folder.write("a", Data("one".utf8))
    try folder.write("b", Data())
    try FolderManifest.write(in: folder.url)
    let files = try FolderManifest.verify(folder.url).files
    #expect(files.keys.sorted() == ["a", "b"] && files["a"]?.bytes == 3)
    for content in ["two", "on", "", "one "] {
      try folder.write("a", Data(content.utf8))
      let error = #expect(throws: CheckpointError.self) { try FolderManifest.verify(folder.url) }
      #expect(error?.description.contains("a: expected 3 bytes") == true)
    }
    try FileManager.default.removeItem(at: folder["a"])
    #expect(throws: CheckpointError.self) { try FolderManifest.verify(folder.url) }
  }

  @Test(
    "A manifest that is none, or that leads out of its folder",
    arguments: [
      "", "[]", "{}", #"{"files": {"../x": {"bytes": 3, "crc32c": 0}}}"#,
      #"{"files": {"..": {"bytes": 3, "crc32c": 0}}}"#,
    ])
  func hostile(_ text: String) throws {
    let folder = try TemporaryFolder()
    try folder.write("x", Data("out".utf8))
    try folder.write("in/manifest.json", Data(text.utf8))
    let error = #expect(throws: CheckpointError.self) { try FolderManifest.verify(folder["in"]) }
    #expect(error?.description.contains("manifest.json") == true)
  }

  @Test("A file is gone on with after its first bytes, and refused when it has fewer")
  func continued() throws {
    let folder = try TemporaryFolder()
    let url = try folder.write("log", Data("one\ntwo\n".utf8))
    let file = try OutputFile(continuing: url.path, after: 4)
    try Data("three\n".utf8).withUnsafeBytes(file.write)
    #expect(file.length == 10)
    #expect(try String(contentsOf: url, encoding: .utf8) == "one\nthree\n")
    let error = #expect(throws: CheckpointError.self) {
      try OutputFile(continuing: url.path, after: 11)
    }
    #expect(error?.description.contains("expected at least 11 bytes, found 10") == true)
    #expect(try String(contentsOf: url, encoding: .utf8) == "one\nthree\n")
  }
}
