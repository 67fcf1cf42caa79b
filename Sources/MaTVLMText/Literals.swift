extension String {
  /// The parts between occurrences of `literal`, compared scalar by scalar, as Python's `split`
  /// does: Swift's own comparison would miss a literal that a combining mark follows.
  func parts(separatedBy literal: String) -> [String] {
    let separator = Array(literal.utf8)
    precondition(!separator.isEmpty, "parts: empty separator")
    let text = Array(utf8)
    var parts: [String] = []
    var (start, index) = (0, 0)
    while index + separator.count <= text.count {
      if text[index] == separator[0], text[index...].starts(with: separator) {
        parts.append(String(decoding: text[start..<index], as: UTF8.self))
        index += separator.count
        start = index
      } else {
        index += 1
      }
    }
    return parts + [String(decoding: text[start...], as: UTF8.self)]
  }

  /// The text without white space at its ends, as Python's `strip` removes it: Unicode's
  /// `White_Space` and the four ASCII separators U+001C…U+001F.
  package var strippingWhitespace: String {
    func isSpace(_ scalar: Unicode.Scalar) -> Bool {
      scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
    }
    guard let first = unicodeScalars.firstIndex(where: { !isSpace($0) }),
      let last = unicodeScalars.lastIndex(where: { !isSpace($0) })
    else { return "" }
    return String(unicodeScalars[first...last])
  }
}
