import Foundation
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Malformed safetensors headers")
struct SafetensorsHeaderTests {
  let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  /// Opens a file of these bytes and expects an error that names the file, and this tensor, and says
  /// `problem`.
  private func expectMalformed(
    _ bytes: [UInt8], tensor: String? = nil, _ problem: String,
    at location: SourceLocation = #_sourceLocation
  ) throws {
    let url = try folder.write("bad.safetensors", bytes)
    let error = #expect(throws: CheckpointError.self, sourceLocation: location) {
      try SafetensorsFile(url)
    }
    guard case .malformed(let path, let named, let found)? = error else {
      Issue.record("found \(String(describing: error))", sourceLocation: location)
      return
    }
    #expect(path == url.path && named == tensor, sourceLocation: location)
    #expect(found.contains(problem), "\(found)", sourceLocation: location)
  }

  private func expectMalformed(
    _ header: String, data count: Int = 0, tensor: String? = nil, _ problem: String,
    at location: SourceLocation = #_sourceLocation
  ) throws {
    try expectMalformed(
      safetensors(header, data: Array(repeating: 0, count: count)), tensor: tensor, problem,
      at: location)
  }

  private func tensor(_ name: String, _ type: String, _ shape: String, _ offsets: String) -> String
  {
    "\"\(name)\":{\"dtype\":\(type),\"shape\":\(shape),\"data_offsets\":\(offsets)}"
  }

  // MARK: Not a file with a header

  @Test func missingFile() {
    #expect(throws: CheckpointError.self) { try SafetensorsFile(folder["absent"]) }
  }

  @Test func folderInPlaceOfFile() {
    #expect(
      throws: CheckpointError.unreadable(path: folder.url.path, cause: "it is a folder")
    ) { try SafetensorsFile(folder.url) }
  }

  @Test func pipeInPlaceOfFile() {
    let url = folder["pipe"]
    #expect(mkfifo(url.path, 0o600) == 0)
    #expect(
      throws: CheckpointError.unreadable(path: url.path, cause: "it is not a regular file")
    ) { try SafetensorsFile(url) }
  }

  @Test func emptyFile() throws { try expectMalformed([], "the file has 0") }

  @Test func sevenBytes() throws {
    try expectMalformed([2, 0, 0, 0, 0, 0, 0], "the file has 7")
  }

  @Test func headerLongerThanFile() throws {
    try expectMalformed([3, 0, 0, 0, 0, 0, 0, 0] + Array("{}".utf8), "2 are left")
  }

  @Test func headerLongerThanAllowed() throws {
    try expectMalformed([1, 0xE1, 0xF5, 5, 0, 0, 0, 0] + Array("{}".utf8), "100000001 bytes")
  }

  @Test func headerLengthThatOverflows() throws {
    try expectMalformed(Array(repeating: 0xFF, count: 8), "18446744073709551615 bytes")
  }

  @Test func emptyHeader() throws { try expectMalformed("", "does not begin with {") }

  // MARK: Not JSON

  @Test func arrayInPlaceOfObject() throws { try expectMalformed("[]", "does not begin with {") }

  @Test func spaceBeforeHeader() throws { try expectMalformed(" {}", "does not begin with {") }

  @Test func headerThatEnds() throws { try expectMalformed("{\"a\":", "the text ends") }

  @Test func stringThatDoesNotEnd() throws { try expectMalformed("{\"a", "does not end") }

  @Test func textAfterHeader() throws { try expectMalformed("{}{}", "after the value") }

  @Test func trailingComma() throws { try expectMalformed("{\"a\":1,}", "expected a key") }

  @Test func numberWithLeadingZero() throws { try expectMalformed("{\"a\":01}", "begins with 0") }

  @Test func controlCharacter() throws { try expectMalformed("{\"a\nb\":1}", "control character") }

  @Test func unknownEscape() throws { try expectMalformed("{\"\\x\":1}", "unknown escape") }

  @Test func halfSurrogatePair() throws { try expectMalformed("{\"\\ud800\":1}", "surrogate") }

  @Test func notUTF8() throws {
    try expectMalformed(
      [7, 0, 0, 0, 0, 0, 0, 0] + [0x7B, 0x22, 0xC3, 0x28, 0x22, 0x3A, 0x31], "UTF-8")
  }

  @Test func nestedTooDeep() throws {
    try expectMalformed("{\"a\":" + String(repeating: "[", count: 100_000), "too deep")
  }

  // MARK: Not what a header says

  @Test func tensorTwice() throws {
    let a = tensor("a", "\"U8\"", "[1]", "[0,1]")
    try expectMalformed("{\(a),\(a)}", data: 1, "\"a\" appears twice")
  }

  @Test func tensorTwiceByEscape() throws {
    let a = tensor("a", "\"U8\"", "[1]", "[0,1]")
    try expectMalformed("{\(a),\(tensor("\\u0061", "\"U8\"", "[1]", "[0,1]"))}", data: 1, "twice")
  }

  @Test func keyTwiceInTensor() throws {
    try expectMalformed(
      "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}}", data: 1,
      "\"dtype\" appears twice")
  }

  @Test func tensorThatIsNoObject() throws {
    try expectMalformed("{\"a\":3}", tensor: "a", "expected an object of dtype")
  }

  @Test func keyMissing() throws {
    try expectMalformed(
      "{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", tensor: "a", "expected an object")
  }

  @Test func keyTooMany() throws {
    try expectMalformed(
      "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":0}}", data: 1,
      tensor: "a", "expected an object")
  }

  @Test func unknownType() throws {
    try expectMalformed(
      "{\(tensor("a", "\"Q9\"", "[1]", "[0,1]"))}", data: 1, tensor: "a", "unknown dtype \"Q9\"")
  }

  @Test func typeThatIsNoString() throws {
    try expectMalformed("{\(tensor("a", "5", "[1]", "[0,1]"))}", data: 1, tensor: "a", "dtype")
  }

  @Test(arguments: ["[-1]", "[1.0]", "[1e0]", "1", "[\"1\"]", "[9223372036854775808]", "[null]"])
  func shapeThatIsNone(_ shape: String) throws {
    try expectMalformed(
      "{\(tensor("a", "\"U8\"", shape, "[0,1]"))}", data: 1, tensor: "a", "shape is not")
  }

  @Test(arguments: [
    "[9223372036854775807]", "[4294967296,4294967296]", "[4294967296,4294967296,0]",
  ])
  func shapeThatOverflows(_ shape: String) throws {
    try expectMalformed(
      "{\(tensor("a", "\"F32\"", shape, "[0,4]"))}", data: 4, tensor: "a", "can be counted")
  }

  @Test func shapeThatDoesNotFitItsBytes() throws {
    try expectMalformed(
      "{\(tensor("a", "\"F32\"", "[3]", "[0,8]"))}", data: 8, tensor: "a",
      "takes 12 bytes, data_offsets span 8")
  }

  @Test(arguments: ["[0]", "[0,1,2]", "[0,-1]", "[0.0,1]", "{}", "[0,18446744073709551615]"])
  func offsetsThatAreNone(_ offsets: String) throws {
    try expectMalformed(
      "{\(tensor("a", "\"U8\"", "[1]", offsets))}", data: 1, tensor: "a", "data_offsets is not")
  }

  @Test func offsetsThatRunBackwards() throws {
    try expectMalformed(
      "{\(tensor("a", "\"U8\"", "[1]", "[1,0]"))}", data: 1, tensor: "a", "end before they begin")
  }

  @Test(arguments: ["[0,5]", "[4,5]", "[0,9223372036854775807]"])
  func offsetsOutsideTheFile(_ offsets: String) throws {
    try expectMalformed(
      "{\(tensor("a", "\"U8\"", "[5]", offsets))}", data: 4, tensor: "a", "outside the 4 bytes")
  }

  @Test func overlappingTensors() throws {
    try expectMalformed(
      "{\(tensor("a", "\"U8\"", "[2]", "[0,2]")),\(tensor("b", "\"U8\"", "[2]", "[1,3]"))}",
      data: 3,
      tensor: "b", "overlap")
  }

  @Test func oneTensorInAnother() throws {
    try expectMalformed(
      "{\(tensor("a", "\"U8\"", "[4]", "[0,4]")),\(tensor("b", "\"U8\"", "[0]", "[2,2]"))}",
      data: 4,
      tensor: "b", "overlap")
  }

  @Test func holeBetweenTensors() throws {
    try expectMalformed(
      "{\(tensor("a", "\"U8\"", "[1]", "[0,1]")),\(tensor("b", "\"U8\"", "[1]", "[2,3]"))}",
      data: 3,
      tensor: "b", "1 bytes before it belong to no tensor")
  }

  @Test func holeBeforeFirstTensor() throws {
    try expectMalformed(
      "{\(tensor("a", "\"U8\"", "[1]", "[1,2]"))}", data: 2, tensor: "a", "1 bytes before it")
  }

  @Test func bytesAfterLastTensor() throws {
    try expectMalformed(
      "{\(tensor("a", "\"U8\"", "[1]", "[0,1]"))}", data: 3, "the last 2 bytes belong to no tensor")
  }

  @Test func truncatedData() throws {
    let whole = try Data(contentsOf: fixture("student-bf16/model.safetensors"))
    let url = try folder.write("cut.safetensors", whole.dropLast(1))
    let error = #expect(throws: CheckpointError.self) { try SafetensorsFile(url) }
    #expect(error?.description.contains("lie outside") == true)
  }

  @Test func metadataThatIsNoObject() throws {
    try expectMalformed("{\"__metadata__\":[]}", tensor: "__metadata__", "not a JSON object")
  }

  @Test func metadataThatIsNoString() throws {
    try expectMalformed("{\"__metadata__\":{\"a\":1}}", tensor: "__metadata__", "not a string")
  }

  @Test("names in messages are escaped and bounded")
  func hostileName() throws {
    let name = "\\u001b[31m" + String(repeating: "x", count: 5000)
    let url = try folder.write("bad.safetensors", safetensors("{\"\(name)\":3}"))
    let error = #expect(throws: CheckpointError.self) { try SafetensorsFile(url) }
    let text = try #require(error?.description)
    #expect(!text.contains("\u{1B}") && text.utf8.count < 1000)
  }
}
