/// Decodes ids one at a time into pieces of text that never end inside a UTF-8 character.
///
/// The pieces, with what ``finish()`` returns, joined are `Tokenizer.decode` of all the ids.
public struct StreamingDecoder: Sendable {
  private let tokenizer: Tokenizer
  private let skippingSpecialTokens: Bool
  /// Bytes that begin a character and wait for its end; at most three.
  private var pending: [UInt8] = []

  /// Starts a decoder; special tokens are left out unless asked for.
  public init(_ tokenizer: Tokenizer, skippingSpecialTokens: Bool = true) {
    self.tokenizer = tokenizer
    self.skippingSpecialTokens = skippingSpecialTokens
  }

  /// The text that `id` completes, possibly none.
  public mutating func append(_ id: Int) -> String {
    let bytes = pending + tokenizer.bytes(of: id, skippingSpecialTokens: skippingSpecialTokens)
    let complete = bytes.count - Self.unfinishedBytes(of: bytes)
    pending = Array(bytes[complete...])
    return String(decoding: bytes[..<complete], as: UTF8.self)
  }

  /// What is left when no more ids come: U+FFFD if a character was begun, else nothing.
  public mutating func finish() -> String {
    defer { pending = [] }
    return String(decoding: pending, as: UTF8.self)
  }

  /// How many bytes at the end are the proper beginning of a well-formed character.
  private static func unfinishedBytes(of bytes: [UInt8]) -> Int {
    for count in 1...3 where count <= bytes.count {
      let lead = bytes[bytes.count - count]
      if lead & 0xC0 == 0x80 { continue }
      let length = lead < 0xC2 || lead > 0xF4 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
      guard count < length else { return 0 }
      return count == 1 || isSecond(bytes[bytes.count - count + 1], after: lead) ? count : 0
    }
    return 0
  }

  /// Table 3-7 of the Unicode Standard: some leads narrow the byte that may follow.
  private static func isSecond(_ byte: UInt8, after lead: UInt8) -> Bool {
    switch lead {
    case 0xE0: byte >= 0xA0
    case 0xED: byte < 0xA0
    case 0xF0: byte >= 0x90
    case 0xF4: byte < 0x90
    default: true
    }
  }
}
