/// A token that is looked for in the text itself, before any byte is merged.
public struct AddedToken: Sendable {
  /// Its id in the vocabulary.
  public let id: Int
  /// The text it stands for, not spelled in the byte alphabet.
  public let content: String
  /// Whether decoding may skip it, as it does end of text.
  public let isSpecial: Bool
  /// Whether it is looked for in normalised text, that is after those that are not. The name is
  /// Hugging Face's; no normaliser is supported, so only the order differs.
  public let isNormalized: Bool

  /// Makes a description of a token; special tokens are by default looked for first.
  public init(id: Int, content: String, isSpecial: Bool = false, isNormalized: Bool? = nil) {
    self.id = id
    self.content = content
    self.isSpecial = isSpecial
    self.isNormalized = isNormalized ?? !isSpecial
  }
}

/// Finds added tokens in text: at each place the longest one that begins there.
struct AddedTokenTrie: Sendable {
  private struct Node {
    var children: [UInt8: Int] = [:]
    var id: Int?
  }

  /// The root is node 0.
  private var nodes = [Node()]

  init(_ tokens: some Sequence<AddedToken>) {
    for token in tokens { insert(token) }
  }

  private mutating func insert(_ token: AddedToken) {
    precondition(!token.content.isEmpty, "AddedTokenTrie: token \(token.id) is empty")
    var node = 0
    for byte in token.content.utf8 {
      if let child = nodes[node].children[byte] {
        node = child
      } else {
        nodes.append(Node())
        nodes[node].children[byte] = nodes.count - 1
        node = nodes.count - 1
      }
    }
    nodes[node].id = token.id
  }

  enum Piece {
    case text(ArraySlice<UInt8>)
    case token(Int)
  }

  /// `text` cut at the tokens in it. Tokens do not overlap: the leftmost wins, then the longest.
  func pieces(of text: ArraySlice<UInt8>) -> [Piece] {
    var pieces: [Piece] = []
    var (start, index) = (text.startIndex, text.startIndex)
    while index < text.endIndex {
      guard let match = longestMatch(in: text, at: index) else {
        index += 1
        continue
      }
      if start < index { pieces.append(.text(text[start..<index])) }
      pieces.append(.token(match.id))
      (start, index) = (match.end, match.end)
    }
    if start < text.endIndex { pieces.append(.text(text[start...])) }
    return pieces
  }

  private func longestMatch(in text: ArraySlice<UInt8>, at start: Int) -> (id: Int, end: Int)? {
    var (node, index) = (0, start)
    var match: (id: Int, end: Int)?
    while index < text.endIndex, let child = nodes[node].children[text[index]] {
      (node, index) = (child, index + 1)
      if let id = nodes[node].id { match = (id, index) }
    }
    return match
  }
}
