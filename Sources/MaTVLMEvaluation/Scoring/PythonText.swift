/// Text as Python's `str` sees it: a sequence of code points. Scores depend on it wherever Swift's
/// characters are wider.
extension Unicode.Scalar {
  /// What `str.strip` and `str.split` take for white space.
  var isPythonSpace: Bool { properties.isWhitespace || (0x1C...0x1F).contains(value) }

  /// What `\d` matches.
  var isPythonDigit: Bool { properties.generalCategory == .decimalNumber }
}

extension String {
  init(scalars: some Sequence<Unicode.Scalar>) {
    self.init()
    unicodeScalars.append(contentsOf: scalars)
  }

  /// `str.strip()`, or with a set of characters `str.strip(characters)`.
  func pythonStripped(_ isStripped: (Unicode.Scalar) -> Bool = \.isPythonSpace) -> String {
    var scalars = unicodeScalars[...]
    while let first = scalars.first, isStripped(first) { scalars.removeFirst() }
    while let last = scalars.last, isStripped(last) { scalars.removeLast() }
    return String(scalars: scalars)
  }

  /// `str.rstrip(character)`
  func pythonStripped(ending character: Unicode.Scalar) -> String {
    var scalars = unicodeScalars[...]
    while scalars.last == character { scalars.removeLast() }
    return String(scalars: scalars)
  }

  /// `str.split()`
  var pythonWords: [String] {
    unicodeScalars.split(whereSeparator: \.isPythonSpace).map { String(scalars: $0) }
  }

  /// `float(str)` of a stripped text in ASCII; nil where Python raises. Unlike in Swift, digits can be
  /// parted by underscores, and hexadecimal is no number.
  var pythonFloat: Double? {
    let number = /[+-]?(?:\d[\d_]*\.?(?:\d[\d_]*)?|\.\d[\d_]*)(?:e[+-]?\d[\d_]*)?/
    let word = /[+-]?(?:inf|infinity|nan)/
    let isNumber = wholeMatch(of: number.ignoresCase().asciiOnlyDigits()) != nil
    // An underscore has a digit on both sides.
    let isParted = contains("__") || contains(/_(?:[.e]|$)/.ignoresCase())
    guard isNumber && !isParted || wholeMatch(of: word.ignoresCase()) != nil else { return nil }
    return Double(pythonReplacing("_", with: ""))
  }

  /// `str.split(separator)`
  func pythonSplit(_ separator: String) -> [String] {
    var parts: [String] = []
    var rest = utf8[...]
    while let range = rest.firstRange(of: separator.utf8) {
      parts.append(String(decoding: rest[..<range.lowerBound], as: UTF8.self))
      rest = rest[range.upperBound...]
    }
    return parts + [String(decoding: rest, as: UTF8.self)]
  }

  /// Whether the bytes of `part` occur: `part in str`.
  func pythonContains(_ part: String) -> Bool {
    part.isEmpty || utf8.firstRange(of: part.utf8) != nil
  }

  /// Where `part` begins for the last time, in bytes from the start: `str.rfind(part)`.
  func pythonLastPlace(of part: String) -> Int? {
    guard !part.isEmpty else { return utf8.count }
    let (bytes, sought) = (Array(utf8), Array(part.utf8))
    guard bytes.count >= sought.count else { return nil }
    return (0...bytes.count - sought.count).last { bytes[$0...].starts(with: sought) }
  }

  func pythonReplacing(_ part: String, with other: String) -> String {
    pythonSplit(part).joined(separator: other)
  }
}
