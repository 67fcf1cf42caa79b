/// Cuts text into the words within which bytes may be merged.
///
/// The language of GPT-2's pattern, matched left to right:
/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
/// (openai/gpt-2, `src/encoder.py`; Hugging Face tokenizers, `ByteLevel`). Letters and numbers are
/// those of the Unicode version of the Swift standard library.
enum PreTokenizer {
  /// The words of `text`, which is valid UTF-8, as ranges of its indices: they cover it, in order.
  static func words(in text: ArraySlice<UInt8>) -> [Range<Int>] {
    var words: [Range<Int>] = []
    var start = text.startIndex
    while start < text.endIndex {
      let end = endOfWord(in: text, from: start)
      words.append(start..<end)
      start = end
    }
    return words
  }

  private static func endOfWord(in text: ArraySlice<UInt8>, from start: Int) -> Int {
    if let end = endOfContraction(in: text, from: start) { return end }
    let first = text[start] == 0x20 ? start + 1 : start
    if first < text.endIndex {
      let scalar = scalar(in: text, at: first)
      let kind = Kind(scalar.value)
      if kind != .space { return endOfRun(of: kind, in: text, from: scalar.end) }
    }
    return endOfSpace(in: text, from: start)
  }

  private static let contractions = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"].map {
    Array($0.utf8)
  }

  private static func endOfContraction(in text: ArraySlice<UInt8>, from start: Int) -> Int? {
    guard text[start] == UInt8(ascii: "'") else { return nil }
    return contractions.first { text[start...].starts(with: $0) }.map { start + $0.count }
  }

  private static func endOfRun(of kind: Kind, in text: ArraySlice<UInt8>, from start: Int) -> Int {
    var end = start
    while end < text.endIndex {
      let scalar = scalar(in: text, at: end)
      if Kind(scalar.value) != kind { break }
      end = scalar.end
    }
    return end
  }

  /// `\s+(?!\S)|\s+`: a run of spaces leaves its last one to the word that follows, unless it is
  /// the only one or the text ends.
  private static func endOfSpace(in text: ArraySlice<UInt8>, from start: Int) -> Int {
    var (last, end) = (start, start)
    while end < text.endIndex {
      let scalar = scalar(in: text, at: end)
      if Kind(scalar.value) != .space { return last > start ? last : end }
      (last, end) = (end, scalar.end)
    }
    return end
  }

  private enum Kind {
    case letter, number, space, other

    init(_ scalar: Unicode.Scalar) {
      switch scalar.value {
      case 0x61...0x7A, 0x41...0x5A: self = .letter
      case 0x30...0x39: self = .number
      case 0x20, 0x09...0x0D: self = .space
      case 0..<0x80: self = .other
      default: self.init(beyondASCII: scalar.properties)
      }
    }

    private init(beyondASCII properties: Unicode.Scalar.Properties) {
      switch properties.generalCategory {
      case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
        self = .letter
      case .decimalNumber, .letterNumber, .otherNumber: self = .number
      default: self = properties.isWhitespace ? .space : .other
      }
    }
  }

  /// The scalar that begins at `start`, and where the next one begins.
  private static func scalar(in text: ArraySlice<UInt8>, at start: Int)
    -> (value: Unicode.Scalar, end: Int)
  {
    let lead = text[start]
    if lead < 0x80 { return (Unicode.Scalar(lead), start + 1) }
    let length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
    var value = UInt32(lead) & (0x7F >> UInt32(length))
    for byte in text[start + 1..<start + length] { value = value << 6 | UInt32(byte & 0x3F) }
    guard let scalar = Unicode.Scalar(value) else {
      preconditionFailure("PreTokenizer: text is not UTF-8 at byte \(start)")
    }
    return (scalar, start + length)
  }
}
