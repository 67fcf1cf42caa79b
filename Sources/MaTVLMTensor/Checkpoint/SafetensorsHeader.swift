/// What a safetensors file says about itself: eight bytes of length, then that much JSON
/// (https://github.com/huggingface/safetensors, "Format").
package struct SafetensorsHeader {
  /// The limit of the reference implementation.
  static let maximumByteCount = 100_000_000

  package private(set) var metadata: [String: String]
  /// In the order of their bytes.
  package private(set) var entries: [SafetensorsFile.Entry]
}

extension SafetensorsHeader {
  /// The header of a file yet to be written.
  init(metadata: [String: String], of tensors: [CheckpointTensor]) {
    self.metadata = metadata
    entries = tensors.map {
      SafetensorsFile.Entry(name: $0.name, type: $0.type, shape: $0.shape, range: 0..<$0.byteCount)
    }
  }
}

// MARK: - Reading

extension SafetensorsHeader {
  /// Reads and checks the header of a whole file.
  ///
  /// - Throws: ``CheckpointError/malformed(path:tensor:problem:)`` unless every byte after the
  ///   header belongs to exactly one tensor whose type and shape account for its bytes.
  package init(of file: UnsafeRawBufferPointer, path: String) throws {
    func malformed(_ problem: String, _ tensor: String? = nil) -> CheckpointError {
      .malformed(path: path, tensor: tensor, problem: problem)
    }
    let (json, dataStart) = try Self.json(of: file, malformed)
    guard case .object(let members) = json else {
      throw malformed("the header is not a JSON object")
    }
    metadata = [:]
    entries = []
    for (name, value) in members {
      do {
        if name == "__metadata__" {
          metadata = try Self.metadata(value)
        } else {
          entries.append(
            try Self.entry(name, value, dataStart: dataStart, fileByteCount: file.count))
        }
      } catch {
        throw malformed(error.text, name)
      }
    }
    // A tensor without elements may begin where another does: the shorter first.
    entries.sort {
      ($0.range.lowerBound, $0.range.upperBound, $0.name)
        < ($1.range.lowerBound, $1.range.upperBound, $1.name)
    }
    var end = dataStart
    for entry in entries {
      guard entry.range.lowerBound == end else {
        throw malformed(
          entry.range.lowerBound < end
            ? "its bytes overlap those of another tensor"
            : "\(entry.range.lowerBound - end) bytes before it belong to no tensor",
          entry.name)
      }
      end = entry.range.upperBound
    }
    guard end == file.count else {
      throw malformed("the last \(file.count - end) bytes belong to no tensor")
    }
  }

  private static func json(
    of file: UnsafeRawBufferPointer, _ malformed: (String, String?) -> CheckpointError
  ) throws -> (JSONValue, dataStart: Int) {
    guard file.count >= 8 else {
      throw malformed("a header takes at least 8 bytes, the file has \(file.count)", nil)
    }
    let declared = UInt64(littleEndian: file.loadUnaligned(as: UInt64.self))
    guard declared <= maximumByteCount else {
      throw malformed(
        "the header claims \(declared) bytes, at most \(maximumByteCount) are allowed", nil)
    }
    let dataStart = 8 + Int(declared)
    guard dataStart <= file.count else {
      throw malformed(
        "the header claims \(declared) bytes, \(file.count - 8) are left in the file", nil)
    }
    let text = UnsafeRawBufferPointer(rebasing: file[8..<dataStart])
    guard text.first == UInt8(ascii: "{") else {
      throw malformed("the header does not begin with {", nil)
    }
    do {
      return (try JSONValue(strict: text), dataStart)
    } catch {
      throw malformed("header: \(error)", nil)
    }
  }

  private struct Problem: Error { let text: String }

  private static func metadata(_ json: JSONValue) throws(Problem) -> [String: String] {
    guard case .object(let members) = json else { throw Problem(text: "not a JSON object") }
    var metadata: [String: String] = [:]
    for (key, value) in members {
      guard case .string(let text) = value else {
        throw Problem(text: "value of \(quoted(key)) is not a string")
      }
      metadata[key] = text
    }
    return metadata
  }

  private static func entry(
    _ name: String, _ json: JSONValue, dataStart: Int, fileByteCount: Int
  ) throws(Problem) -> SafetensorsFile.Entry {
    guard case .object(let members) = json, members.count == 3,
      let typeName = members["dtype"], let shape = members["shape"],
      let offsets = members["data_offsets"]
    else { throw Problem(text: "expected an object of dtype, shape and data_offsets") }
    guard case .string(let text) = typeName else { throw Problem(text: "dtype is not a string") }
    guard let type = SafetensorsType(rawValue: text) else {
      throw Problem(text: "unknown dtype \(quoted(text))")
    }
    guard let dimensions = naturalNumbers(shape) else {
      throw Problem(text: "shape is not an array of natural numbers")
    }
    guard let bounds = naturalNumbers(offsets), bounds.count == 2 else {
      throw Problem(text: "data_offsets is not an array of two natural numbers")
    }
    guard bounds[0] <= bounds[1] else {
      throw Problem(text: "data_offsets \(bounds) end before they begin")
    }
    guard bounds[1] <= fileByteCount - dataStart else {
      throw Problem(
        text: "data_offsets \(bounds) lie outside the \(fileByteCount - dataStart) bytes of data")
    }
    guard let needed = byteCount(dimensions, type) else {
      throw Problem(text: "shape \(dimensions) has more bytes than can be counted")
    }
    guard needed == bounds[1] - bounds[0] else {
      throw Problem(
        text: "\(type.rawValue) \(dimensions) takes \(needed) bytes, "
          + "data_offsets span \(bounds[1] - bounds[0])")
    }
    return SafetensorsFile.Entry(
      name: name, type: type, shape: Shape(dimensions),
      range: dataStart + bounds[0]..<dataStart + bounds[1])
  }

  private static func naturalNumbers(_ json: JSONValue) -> [Int]? {
    guard case .array(let values) = json else { return nil }
    var numbers: [Int] = []
    for value in values {
      guard case .integer(let number) = value, number >= 0 else { return nil }
      numbers.append(number)
    }
    return numbers
  }

  /// Multiplies in the order of ``Shape``, so that a shape which passes does not trap there.
  private static func byteCount(_ dimensions: [Int], _ type: SafetensorsType) -> Int? {
    var count = 1
    for factor in dimensions + [type.byteCount] {
      let (product, overflow) = count.multipliedReportingOverflow(by: factor)
      if overflow { return nil }
      count = product
    }
    return count
  }
}

// MARK: - Writing

extension SafetensorsHeader {
  /// The bytes before the first tensor: length and JSON as the reference implementation writes
  /// them, padded with spaces so that data begins at a multiple of `alignment`.
  ///
  /// Only the lengths of the entries' ranges count: data is laid end to end in the order given.
  /// - Precondition: the alignment is a multiple of eight.
  func encoded(alignment: Int = 8) -> [UInt8] {
    var members: [String] = []
    if !metadata.isEmpty {
      let pairs = metadata.sorted { $0.key < $1.key }
        .map { "\(JSONValue.encoded($0.key)):\(JSONValue.encoded($0.value))" }
      members.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
    }
    var end = 0
    for entry in entries {
      let begin = end
      end += entry.range.count
      let shape = entry.shape.dimensions.map(String.init).joined(separator: ",")
      members.append(
        "\(JSONValue.encoded(entry.name)):{\"dtype\":\"\(entry.type.rawValue)\","
          + "\"shape\":[\(shape)],\"data_offsets\":[\(begin),\(end)]}")
    }
    var json = Array("{\(members.joined(separator: ","))}".utf8)
    json.append(
      contentsOf: repeatElement(
        UInt8(ascii: " "), count: (alignment - (8 + json.count) % alignment) % alignment))
    return withUnsafeBytes(of: UInt64(json.count).littleEndian, Array.init) + json
  }
}
