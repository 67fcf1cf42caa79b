/// GPT-2's printable letter for each byte: tokenizer files spell a token's bytes with these letters.
///
/// A printable Latin-1 byte is its own letter; the 68 others take U+0100, U+0101, … in order
/// (`bytes_to_unicode` in openai/gpt-2, `src/encoder.py`). No two letters are canonically
/// equivalent, nor does any combine with a neighbour, so strings of them may be compared as strings.
enum ByteAlphabet {
  /// The letter of each byte, 256 of them.
  static let letters: [Unicode.Scalar] = {
    var next: UInt32 = 0x100
    return (0...255).map { (byte: UInt8) in
      if (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || byte >= 0xAE {
        return Unicode.Scalar(byte)
      }
      defer { next += 1 }
      return Unicode.Scalar(next)!  // below 0x144: never a surrogate
    }
  }()

  /// The byte of each letter; nil between and beyond.
  private static let bytesByScalar: [UInt8?] = {
    var table = [UInt8?](repeating: nil, count: 0x144)
    for (byte, letter) in letters.enumerated() { table[Int(letter.value)] = UInt8(byte) }
    return table
  }()

  /// The letters that spell `bytes`.
  static func spelling(of bytes: some Sequence<UInt8>) -> String {
    var scalars = String.UnicodeScalarView()
    for byte in bytes { scalars.append(letters[Int(byte)]) }
    return String(scalars)
  }

  /// The bytes that `text` spells, or nil if a character of it is no letter of this alphabet.
  static func bytes(spelledBy text: some StringProtocol) -> [UInt8]? {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.utf8.count)
    for scalar in text.unicodeScalars {
      guard scalar.value < 0x144, let byte = bytesByScalar[Int(scalar.value)] else { return nil }
      bytes.append(byte)
    }
    return bytes
  }
}
