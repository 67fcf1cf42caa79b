import MaTVLMEvaluation
import Testing

@Suite("The spreadsheet that is uploaded")
struct SpreadsheetTests {
  /// The parts of an archive of stored files, found as programs find them: by its directory.
  private struct Archive {
    var parts: [String: [UInt8]] = [:]
    var badChecksums: [String] = []

    init(_ bytes: [UInt8]) {
      func number(_ place: Int, _ width: Int) -> Int {
        bytes[place..<place + width].reversed().reduce(0) { $0 << 8 | Int($1) }
      }
      let end = bytes.count - 22
      var place = number(end + 16, 4)
      for _ in 0..<number(end + 10, 2) {
        let (size, length, local) = (
          number(place + 24, 4), number(place + 28, 2), number(place + 42, 4)
        )
        let name = String(decoding: bytes[place + 46..<place + 46 + length], as: UTF8.self)
        let start = local + 30 + number(local + 26, 2) + number(local + 28, 2)
        let content = Array(bytes[start..<start + size])
        parts[name] = content
        if Self.checksum(content) != number(place + 16, 4) { badChecksums.append(name) }
        place += 46 + length
      }
    }

    /// CRC-32, bit by bit.
    static func checksum(_ bytes: [UInt8]) -> Int {
      var value: UInt32 = ~0
      for byte in bytes {
        value ^= UInt32(byte)
        for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0xEDB8_8320 : value >> 1 }
      }
      return Int(~value)
    }
  }

  @Test("Its archive opens, its parts name each other, and hostile text stays text")
  func archive() throws {
    #expect(Archive.checksum(Array("123456789".utf8)) == 0xCBF4_3926)
    let mmBench = try BenchmarkFolder(.mmbench)
    try mmBench.write(
      "mmbench_dev_20230712.tsv", "index\tquestion\tA\tB\timage\n7\t=cmd()\t<b>\t007\tx\n")
    let answer = AnswerRecord(
      questionID: .number(7), prompt: "",
      text: "A\u{0}\u{8}\u{FFFF}\nB" + String(repeating: "x", count: 40000))
    let file = try mmBench.benchmark.submissions([answer], mmBench.files, seed: 0)[0]
    let archive = Archive(file.bytes)
    #expect(archive.badChecksums == [])
    #expect(archive.parts.count == 5)
    let sheet = String(
      decoding: try #require(archive.parts["xl/worksheets/sheet1.xml"]), as: UTF8.self)
    // A formula, a tag and a number with zeros are text; a cell holds 32767 characters.
    for part in [
      ">=cmd()</t>", ">&lt;b&gt;</t>", ">007</t>", "<c r=\"A2\"><v>7</v></c>",
      ">A\nB" + String(repeating: "x", count: 32767 - 6) + "</t>",
    ] { #expect(sheet.contains(part), "\(part.prefix(20))") }
    let kinds = String(decoding: try #require(archive.parts["[Content_Types].xml"]), as: UTF8.self)
    for name in archive.parts.keys where name.hasPrefix("xl/w") && !name.hasSuffix(".rels") {
      #expect(kinds.contains("PartName=\"/\(name)\""))
    }
  }
}
