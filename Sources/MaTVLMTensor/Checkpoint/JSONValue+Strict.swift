import Foundation

/// Where and why a text is not strict JSON.
package struct JSONProblem: Error, Sendable, Hashable, CustomStringConvertible {
  package let offset: Int
  package let reason: String
  package var description: String { "JSON at byte \(offset): \(reason)" }
}

extension JSONValue {
  /// Reads JSON of a file that nobody vouches for: UTF-8, no key twice in an object, bounded depth
  /// and size.
  ///
  /// Foundation's decoder silently keeps one of two equal keys, and two readers of one file must
  /// not see different tensors.
  package init(strict bytes: UnsafeRawBufferPointer) throws(JSONProblem) {
    var parser = Parser(bytes: bytes)
    self = try parser.value(depth: 0)
    parser.skipSpace()
    guard parser.position == bytes.count else { throw parser.problem("text after the value") }
  }
}

private struct Parser {
  static let maximumDepth = 32
  /// Keeps the memory that a hostile text can claim near 1 GB.
  static let maximumValues = 8_000_000

  let bytes: UnsafeRawBufferPointer
  var position = 0
  var values = 0

  func problem(_ reason: String, at offset: Int? = nil) -> JSONProblem {
    JSONProblem(offset: offset ?? position, reason: reason)
  }

  var next: UInt8? { position < bytes.count ? bytes[position] : nil }

  mutating func skipSpace() {
    while let byte = next, byte == 0x20 || (0x09...0x0A).contains(byte) || byte == 0x0D {
      position += 1
    }
  }

  /// Skips `character` and says whether it was there.
  mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard next == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  mutating func value(depth: Int) throws(JSONProblem) -> JSONValue {
    values += 1
    guard depth < Self.maximumDepth else { throw problem("nested too deep") }
    guard values <= Self.maximumValues else { throw problem("too many values") }
    skipSpace()
    switch next.map(Unicode.Scalar.init) {
    case "{": return .object(try object(depth: depth))
    case "[": return .array(try array(depth: depth))
    case "\"": return .string(try string())
    case "t": return try word("true", .bool(true))
    case "f": return try word("false", .bool(false))
    case "n": return try word("null", .null)
    case nil: throw problem("the text ends where a value is expected")
    default: return try number()
    }
  }

  private mutating func word(_ text: StaticString, _ value: JSONValue)
    throws(JSONProblem) -> JSONValue
  {
    let count = text.utf8CodeUnitCount
    guard count <= bytes.count - position,
      memcmp(bytes.baseAddress! + position, text.utf8Start, count) == 0
    else { throw problem("unknown word") }
    position += count
    return value
  }

  private mutating func array(depth: Int) throws(JSONProblem) -> [JSONValue] {
    position += 1
    var elements: [JSONValue] = []
    skipSpace()
    if take("]") { return elements }
    while true {
      elements.append(try value(depth: depth + 1))
      skipSpace()
      if take("]") { return elements }
      guard take(",") else { throw problem("expected , or ] in an array") }
    }
  }

  private mutating func object(depth: Int) throws(JSONProblem) -> [String: JSONValue] {
    position += 1
    var members: [String: JSONValue] = [:]
    skipSpace()
    if take("}") { return members }
    while true {
      skipSpace()
      let start = position
      guard next == UInt8(ascii: "\"") else { throw problem("expected a key in an object") }
      let key = try string()
      skipSpace()
      guard take(":") else { throw problem("expected : after a key") }
      let value = try value(depth: depth + 1)
      guard members.updateValue(value, forKey: key) == nil else {
        throw problem("key \(quoted(key)) appears twice", at: start)
      }
      skipSpace()
      if take("}") { return members }
      guard take(",") else { throw problem("expected , or } in an object") }
    }
  }

  // MARK: Numbers

  private mutating func number() throws(JSONProblem) -> JSONValue {
    let start = position
    _ = take("-")
    let leadingZero = next == UInt8(ascii: "0")
    let digits = skipDigits()
    guard digits > 0 else { throw problem("expected a value") }
    guard !leadingZero || digits == 1 else { throw problem("a number begins with 0", at: start) }
    var isInteger = true
    if take(".") {
      isInteger = false
      guard skipDigits() > 0 else { throw problem("no digit after the point") }
    }
    if take("e") || take("E") {
      isInteger = false
      if !take("+") { _ = take("-") }
      guard skipDigits() > 0 else { throw problem("no digit in the exponent") }
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    if isInteger, let value = Int(text) { return .integer(value) }
    guard let value = Double(text) else { throw problem("not a number", at: start) }
    return .number(value)
  }

  private mutating func skipDigits() -> Int {
    let start = position
    while let byte = next, (0x30...0x39).contains(byte) { position += 1 }
    return position - start
  }

  // MARK: Strings

  private mutating func string() throws(JSONProblem) -> String {
    let start = position
    position += 1
    var content: [UInt8] = []
    while let byte = next {
      switch Unicode.Scalar(byte) {
      case "\"":
        position += 1
        guard let text = String(validating: content, as: UTF8.self) else {
          throw problem("a string is not UTF-8", at: start)
        }
        return text
      case "\\":
        content.append(contentsOf: try escaped())
      default:
        guard byte >= 0x20 else { throw problem("a control character in a string") }
        content.append(byte)
        position += 1
      }
    }
    throw problem("a string does not end", at: start)
  }

  /// The UTF-8 of the escape sequence at `position`, which it skips.
  private mutating func escaped() throws(JSONProblem) -> [UInt8] {
    position += 1
    guard let kind = next else { throw problem("the text ends within an escape") }
    position += 1
    switch Unicode.Scalar(kind) {
    case "\"", "\\", "/": return [kind]
    case "b": return [0x08]
    case "f": return [0x0C]
    case "n": return [0x0A]
    case "r": return [0x0D]
    case "t": return [0x09]
    case "u": return Array(String(try unicodeEscape()).utf8)
    default: throw problem("unknown escape", at: position - 1)
    }
  }

  private mutating func unicodeEscape() throws(JSONProblem) -> Unicode.Scalar {
    let first = try hexadecimal()
    if let scalar = Unicode.Scalar(first) { return scalar }
    guard first < 0xDC00, take("\\"), take("u") else { throw problem("half a surrogate pair") }
    let second = try hexadecimal()
    guard (0xDC00..<0xE000).contains(second),
      let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
    else { throw problem("half a surrogate pair") }
    return scalar
  }

  private mutating func hexadecimal() throws(JSONProblem) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw problem("expected four hexadecimal digits")
      }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }
}

extension JSONValue {
  /// `text` as a JSON string, quotes included, with the escapes that Rust's serde_json writes.
  static func encoded(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\u{08}": result += "\\b"
      case "\u{0C}": result += "\\f"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case ..<" ": result += String(format: "\\u%04x", scalar.value)
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
