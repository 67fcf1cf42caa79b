/// A line of a conversation in the terminal.
enum ChatInstruction: Equatable {
  case nothing
  case ask(String)
  case image(String)
  case reset, stats, help, quit
  case save(String)
  case load(String)
  /// A line that begins as an instruction and is none.
  case unknown(String)

  static let summary = """
    /image FILE  asks the next question about a JPEG or PNG picture
    /reset       begins a new conversation
    /save FILE   writes the conversation to a file
    /load FILE   goes on with one that was saved
    /stats       says how long the conversation is and what it holds
    /help        shows these lines
    /quit        leaves, as does the end of the input (Ctrl-D)
    Ctrl-C       stops an answer
    """

  init(_ line: String) {
    let text = line.trimmingPrefix(while: \.isWhitespace)
    guard text.first == "/" else {
      self = text.isEmpty ? .nothing : .ask(String(text))
      return
    }
    let parts = text.split(maxSplits: 1, whereSeparator: \.isWhitespace)
    let rest = parts.count > 1 ? Self.trimmed(parts[1]) : ""
    switch (parts[0], rest.isEmpty) {
    case ("/image", false): self = .image(rest)
    case ("/save", false): self = .save(rest)
    case ("/load", false): self = .load(rest)
    case ("/reset", true): self = .reset
    case ("/stats", true): self = .stats
    case ("/help", true): self = .help
    case ("/quit", true): self = .quit
    default: self = .unknown(Self.trimmed(text))
    }
  }

  private static func trimmed(_ text: Substring) -> String {
    let end = text.lastIndex { !$0.isWhitespace }.map(text.index(after:)) ?? text.startIndex
    return String(text[..<end].trimmingPrefix(while: \.isWhitespace))
  }
}
