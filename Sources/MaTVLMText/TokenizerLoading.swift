import Foundation

/// Names of the files a tokenizer may consist of, as Hugging Face writes them.
enum TokenizerFileName: String, CaseIterable {
  case tokenizer = "tokenizer.json"
  case vocabulary = "vocab.json"
  case merges = "merges.txt"
  case addedTokens = "added_tokens.json"
  case specialTokens = "special_tokens_map.json"
  case configuration = "tokenizer_config.json"
}

extension Tokenizer {
  /// Reads the tokenizer in `directory`: `tokenizer.json` if it is there, otherwise `vocab.json`,
  /// `merges.txt` and, if there, `added_tokens.json`.
  ///
  /// Special tokens are those that `tokenizer_config.json` and `special_tokens_map.json` name; both
  /// may be absent, and `<|endoftext|>` ends a text unless one of them names another `eos_token`.
  /// - Throws: ``TokenizerError``, naming the file and the key at fault. Options that change ids and
  ///   are not implemented (normalisers, `lstrip`, …) are refused, not ignored.
  public static func load(_ directory: URL) throws -> Tokenizer {
    let special = try [TokenizerFileName.configuration, .specialTokens].map { name in
      let file = TokenizerFile(name, in: directory)
      return (file, try file.decodeIfPresent(SpecialTokensFormat.self))
    }
    let endOfText = special.lazy.compactMap { $0.1?.end?.content }.first
    var definition: TokenizerDefinition
    if TokenizerFile(.tokenizer, in: directory).exists {
      definition = try .init(tokenizerFileIn: directory)
    } else if TokenizerFile(.vocabulary, in: directory).exists {
      definition = try .init(vocabularyFilesIn: directory, configuration: special[0].1)
    } else {
      throw TokenizerError.missing(directory: directory.path)
    }
    definition.endOfText = endOfText ?? defaultEndOfText
    for (file, format) in special {
      for name in format?.names ?? [] { try definition.makeSpecial(name, namedBy: file.place()) }
    }
    try definition.makeSpecial(definition.endOfText, namedBy: definition.origin.vocabulary)
    return try Tokenizer(definition)
  }

  /// The files of a tokenizer that `directory` holds.
  public static func files(in directory: URL) -> [URL] { stored(in: directory).map(\.url) }

  /// What is in ``files(in:)``, by name, to be written along with a model whatever becomes of the
  /// directory meanwhile.
  ///
  /// - Throws: ``TokenizerError`` when one cannot be read or is larger than a tokenizer is.
  public static func contents(ofFilesIn directory: URL) throws -> [String: Data] {
    try Dictionary(
      uniqueKeysWithValues: stored(in: directory).map {
        ($0.url.lastPathComponent, try $0.contents())
      })
  }

  private static func stored(in directory: URL) -> [TokenizerFile] {
    TokenizerFileName.allCases.map { TokenizerFile($0, in: directory) }.filter(\.exists)
  }

  /// Writes the tokenizer into an existing directory in both forms, readable by Hugging Face's
  /// `transformers` (class `CodeGenTokenizer`) and `tokenizers`.
  ///
  /// - Throws: `CocoaError` with the file and the reason if one cannot be written.
  public func write(to directory: URL) throws {
    let base = tokens.indices.filter { !idsOutsideBase.contains($0) }
    let vocabulary = Dictionary(uniqueKeysWithValues: base.map { (tokens[$0], $0) })
    let merges = merges.merges.map { (tokens[$0.left], tokens[$0.right]) }
    let level = TokenizerFormat.Component(addPrefixSpace: addsPrefixSpace)
    try TokenizerFile(.tokenizer, in: directory).encode(
      TokenizerFormat(
        addedTokens: addedTokens.map(AddedTokenFormat.init), preTokenizer: level,
        decoder: level, model: .init(vocabulary: vocabulary, merges: merges)))
    try TokenizerFile(.vocabulary, in: directory).encode(vocabulary)
    let lines = ["#version: 0.2"] + merges.map { MergeLine.line($0) }
    try TokenizerFile(.merges, in: directory)
      .write(Data((lines.joined(separator: "\n") + "\n").utf8))
    let outside = idsOutsideBase.map { (tokens[$0], $0) }
    try TokenizerFile(.addedTokens, in: directory)
      .encode(Dictionary(uniqueKeysWithValues: outside))
    try writeSpecialTokens(to: directory)
  }

  private func writeSpecialTokens(to directory: URL) throws {
    let end = SpecialTokensFormat.Name(tokens[endOfText])
    let others = addedTokens.filter { $0.isSpecial && $0.id != endOfText }
    var special = SpecialTokensFormat(beginning: end, end: end, unknown: end, padding: end)
    if !others.isEmpty { special.additional = others.map { .init($0.content) } }
    try TokenizerFile(.specialTokens, in: directory).encode(special)
    special.addPrefixSpace = addsPrefixSpace
    special.tokenizerClass = "CodeGenTokenizer"
    special.addedTokens = Dictionary(
      uniqueKeysWithValues: addedTokens.map { token in
        var format = AddedTokenFormat(token)
        format.id = nil  // it is the key
        return (String(token.id), format)
      })
    try TokenizerFile(.configuration, in: directory).encode(special)
  }
}

extension TokenizerDefinition {
  /// The form of Hugging Face's `tokenizers`.
  init(tokenizerFileIn directory: URL) throws {
    let file = TokenizerFile(.tokenizer, in: directory)
    let format: TokenizerFormat = try file.decode()
    if let option = format.unsupported {
      throw file.place().invalid(option.key, expected: option.expected, found: option.found)
    }
    let added = try format.addedTokens.map { token in
      guard let id = token.id else {
        throw file.place("added_tokens").invalid(token.content, expected: "an id", found: "none")
      }
      return try AddedToken(token, id: id, place: file.place("added_tokens"))
    }
    self.init(
      vocabulary: format.model.vocabulary, merges: format.model.merges, added: added,
      endOfText: Tokenizer.defaultEndOfText,
      addsPrefixSpace: format.preTokenizer.addPrefixSpace ?? true,  // the library's own default
      origin: .init(
        vocabulary: file.place("model.vocab"), merges: file.place("model.merges"),
        added: file.place("added_tokens")))
  }

  /// The older form of `transformers`, with `added_tokens_decoder` of its configuration if any.
  init(vocabularyFilesIn directory: URL, configuration: SpecialTokensFormat?) throws {
    let vocabulary = TokenizerFile(.vocabulary, in: directory)
    let merges = TokenizerFile(.merges, in: directory)
    let addedFile = TokenizerFile(.addedTokens, in: directory)
    var added: [String: AddedToken] = [:]
    for (content, id) in try addedFile.decodeIfPresent([String: Int].self) ?? [:] {
      added[content] = AddedToken(id: id, content: content)
    }
    let place = TokenizerFile(.configuration, in: directory).place("added_tokens_decoder")
    for (key, token) in configuration?.addedTokens ?? [:] {
      guard let id = Int(key), added[token.content].map({ $0.id == id }) ?? true else {
        throw place.invalid(
          key, expected: "the id of \(token.content)",
          found: added[token.content].map { "\($0.id) in added_tokens.json" } ?? "no number")
      }
      added[token.content] = try AddedToken(token, id: id, place: place)
    }
    self.init(
      vocabulary: try vocabulary.decode(), merges: try Self.merges(merges),
      added: Array(added.values), endOfText: Tokenizer.defaultEndOfText,
      addsPrefixSpace: configuration?.addPrefixSpace ?? false,
      origin: .init(
        vocabulary: vocabulary.place(), merges: merges.place(),
        added: addedFile.exists ? addedFile.place() : place))
  }

  /// `merges.txt`: an optional `#version` line, then a merge a line.
  private static func merges(_ file: TokenizerFile) throws -> [(String, String)] {
    let text = Array(try file.contents())
    var merges: [(String, String)] = []
    let lines = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    for (index, line) in lines.enumerated() {
      let line = String(decoding: line.last == 0x0D ? line.dropLast() : line, as: UTF8.self)
      if line.hasPrefix("#version") || (line.isEmpty && index == lines.count - 1) { continue }
      let parts = MergeLine.parts(line)
      guard parts.count == 2 else {
        throw file.place().invalid(
          "line \(index + 1)", expected: "two tokens and a space", found: "“\(line)”")
      }
      merges.append((parts[0], parts[1]))
    }
    return merges
  }
}

extension AddedToken {
  init(_ format: AddedTokenFormat, id: Int, place: TokenizerDefinition.Place) throws {
    if let flag = format.unsupported {
      throw place.invalid("\(format.content): \(flag)", expected: "false", found: "true")
    }
    self.init(
      id: id, content: format.content, isSpecial: format.special ?? false,
      isNormalized: format.normalized)
  }
}
