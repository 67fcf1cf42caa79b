import Foundation
import MaTVLMText
import Testing

@Suite struct TokenizerFilesTests {
  /// A fault in one file, and the name and key that the error has to show.
  struct Fault: Sendable, CustomTestStringConvertible {
    let form: Fixtures.Form
    let file: String
    let key: String
    var cut: Int?
    var replacing: (String, String)?
    var contents: String?

    var testDescription: String { "\(file): \(key)" }

    func apply(in directory: URL) throws {
      let url = directory.appendingPathComponent(file)
      guard contents == nil else {
        return try contents!.write(to: url, atomically: true, encoding: .utf8)
      }
      var text = try String(contentsOf: url, encoding: .utf8)
      if let cut { text = String(text.prefix(cut)) }
      if let (old, new) = replacing {
        let range = try #require(text.range(of: old))
        text.replaceSubrange(range, with: new)
      }
      try text.write(to: url, atomically: true, encoding: .utf8)
    }
  }

  static func single(_ key: String, _ old: String, _ new: String) -> Fault {
    Fault(form: .single, file: "tokenizer.json", key: key, replacing: (old, new))
  }

  static func separate(_ file: String, _ key: String, _ old: String, _ new: String) -> Fault {
    Fault(form: .separate, file: file, key: key, replacing: (old, new))
  }

  static let faults: [Fault] = [
    // Not JSON, or not of the right type.
    Fault(form: .single, file: "tokenizer.json", key: "whole file", cut: 9000),
    Fault(form: .single, file: "tokenizer.json", key: "whole file", contents: ""),
    Fault(form: .single, file: "tokenizer.json", key: "whole file", contents: "[1]"),
    Fault(
      form: .single, file: "tokenizer.json", key: "whole file",
      contents: String(repeating: "[", count: 100_000)),
    Fault(form: .single, file: "tokenizer.json", key: "decoder", contents: "{}"),
    Fault(form: .separate, file: "vocab.json", key: "whole file", cut: 300),
    Fault(form: .separate, file: "vocab.json", key: "a", contents: #"{"a": "b"}"#),
    Fault(form: .separate, file: "vocab.json", key: "whole file", contents: #"{"a": 1.5}"#),
    Fault(form: .separate, file: "vocab.json", key: "a", contents: #"{"a": true}"#),
    Fault(form: .separate, file: "vocab.json", key: "whole file", contents: #"{"a": 1e300}"#),
    Fault(form: .separate, file: "added_tokens.json", key: "whole file", contents: "[]"),
    Fault(
      form: .separate, file: "tokenizer_config.json", key: "eos_token",
      contents: #"{"eos_token": 3}"#),
    Fault(
      form: .separate, file: "special_tokens_map.json", key: "special token",
      contents: #"{"pad_token": {"content": "absent"}}"#),
    // Options that would change ids.
    single("normalizer", "\"normalizer\": null", "\"normalizer\": {\"type\": \"NFC\"}"),
    single("pre_tokenizer.type", "\"type\": \"ByteLevel\"", "\"type\": \"Metaspace\""),
    single("use_regex", "\"use_regex\": true", "\"use_regex\": false"),
    single("model.type", "\"type\": \"BPE\"", "\"type\": \"Unigram\""),
    single("model.dropout", "\"dropout\": null", "\"dropout\": 0.1"),
    single("model.ignore_merges", "\"ignore_merges\": false", "\"ignore_merges\": true"),
    single("lstrip", "\"lstrip\": false", "\"lstrip\": true"),
    // Ids.
    single("model.vocab", "\"!\": 1,", "\"!\": 2,"),
    single("model.vocab", "\"!\": 1,", "\"!\": 9223372036854775807,"),
    single("model.vocab", "\"!\": 1,", "\"!\": -1,"),
    single("model.vocab", "\"!\": 1,", "\"! \": 1,"),
    single("model.vocab: byte 33", "\"!\": 1,", "\"!!!!!\": 1,"),
    single("added_tokens", "\"id\": 586", "\"id\": 588"),
    single("added_tokens", "\"id\": 586", "\"id\": 585"),
    single("added_tokens", "\"id\": 0", "\"id\": 5"),
    single("added_tokens", "\"content\": \"\\t\\t\"", "\"content\": \"\""),
    single("added_tokens", "\"content\": \"\\t\\t\"", "\"content\": \"  \""),
    separate("vocab.json", "\"", "\"!\": 1,", "\"!\": 2,"),
    separate("vocab.json", "!", "\"!\": 1,", "\"!\": 100000000000,"),
    separate("added_tokens.json", "\t\t", "586", "700"),
    // Merges.
    single("model.merges: merge 1", "\"Ġ\",\n        \"a\"", "\"Ġ\",\n        \"\\u4e00\""),
    single("model.merges: merge 1", "\"Ġ\",\n        \"a\"", "\"Ġ\",\n        \"9\""),
    single("model.merges", "\"Ġ\",\n        \"a\"", "\"Ġ\",\n        \"a\", \"b\""),
    single("model.merges", "\"Ġ\",\n        \"a\"", "\"Ġ\",\n        7"),
    separate("merges.txt", "line 2", "Ġ a\n", "Ġa\n"),
    separate("merges.txt", "line 2", "Ġ a\n", "Ġ a b\n"),
    separate("merges.txt", "line 2", "Ġ a\n", "\nĠ a\n"),
    separate("merges.txt", "merge 1", "Ġ a\n", "Ġ \u{4E00}\n"),
    separate("merges.txt", "merge 1", "Ġ a\n", "G\u{307} a\n"),
  ]

  @Test(arguments: faults)
  func faultsAreNamed(fault: Fault) throws {
    try Fixtures.withTokenizer(fault.form) { directory in
      try fault.apply(in: directory)
      let error = try #require(throws: TokenizerError.self) { try Tokenizer.load(directory) }
      guard case .invalid(let file, let key, _, _) = error else {
        Issue.record("\(error)")
        return
      }
      #expect(file == directory.appendingPathComponent(fault.file).path)
      #expect(key.contains(fault.key), "\(error)")
      #expect(error.localizedDescription.count < 1000)
    }
  }

  @Test func missingFilesAreNamed() throws {
    try Fixtures.withDirectory { directory in
      #expect(throws: TokenizerError.missing(directory: directory.path)) {
        try Tokenizer.load(directory)
      }
    }
    try Fixtures.withTokenizer(.separate) { directory in
      let merges = directory.appendingPathComponent("merges.txt")
      try FileManager.default.removeItem(at: merges)
      let error = try #require(throws: TokenizerError.self) { try Tokenizer.load(directory) }
      #expect(error.description.hasPrefix(merges.path))
      try FileManager.default.createDirectory(at: merges, withIntermediateDirectories: false)
      #expect(throws: TokenizerError.unreadable(file: merges.path, reason: "not a regular file")) {
        try Tokenizer.load(directory)
      }
    }
  }

  @Test func hugeFilesAreRefused() throws {
    try Fixtures.withTokenizer(.single) { directory in
      let file = directory.appendingPathComponent("tokenizer.json")
      let handle = try FileHandle(forWritingTo: file)
      try handle.truncate(atOffset: 1 << 40)  // a hole: takes no room
      try handle.close()
      #expect(throws: TokenizerError.tooLarge(file: file.path, limit: 64 << 20)) {
        try Tokenizer.load(directory)
      }
    }
  }

  @Test func linksAndCarriageReturnsAreRead() throws {
    try Fixtures.withTokenizer(.separate) { directory in
      let merges = directory.appendingPathComponent("merges.txt")
      let text = try String(contentsOf: merges, encoding: .utf8)
      let target = directory.appendingPathComponent("blob")
      try text.replacingOccurrences(of: "\n", with: "\r\n")
        .write(to: target, atomically: true, encoding: .utf8)
      try FileManager.default.removeItem(at: merges)
      try FileManager.default.createSymbolicLink(at: merges, withDestinationURL: target)
      #expect(try Tokenizer.load(directory).encode("Hello world").count == 8)
    }
  }

  @Test func flagsOfAddedTokensAreReadFromTheConfiguration() throws {
    try Fixtures.withTokenizer(.separate) { directory in
      let added = directory.appendingPathComponent("added_tokens.json")
      let ids = try JSONDecoder().decode([String: Int].self, from: Data(contentsOf: added))
      try FileManager.default.removeItem(at: added)
      let entries = ids.map { content, id in
        "\"\(id)\": {\"content\": \"\(content.replacingOccurrences(of: "\t", with: "\\t"))\","
          + "\"special\": \(id == 586), \"normalized\": true, \"lstrip\": false}"
      }
      let json = "{\"added_tokens_decoder\": {\(entries.joined(separator: ","))}}"
      try json.write(
        to: directory.appendingPathComponent("tokenizer_config.json"), atomically: true,
        encoding: .utf8)
      let tokenizer = try Tokenizer.load(directory)
      #expect(tokenizer.vocabularySize == 587)
      #expect(tokenizer.isSpecial(586))
      #expect(!tokenizer.isSpecial(585))
    }
  }

  @Test(arguments: Fixtures.Form.allCases)
  func writtenFilesReadBackInBothForms(form: Fixtures.Form) throws {
    let tokenizer = try Fixtures.tokenizer(form)
    try Fixtures.withDirectory { directory in
      try tokenizer.write(to: directory)
      let names = Tokenizer.files(in: directory).map(\.lastPathComponent)
      #expect(
        names == [
          "tokenizer.json", "vocab.json", "merges.txt", "added_tokens.json",
          "special_tokens_map.json", "tokenizer_config.json",
        ])
      for single in [true, false] {
        if !single {
          try FileManager.default.removeItem(at: directory.appendingPathComponent("tokenizer.json"))
        }
        let copy = try Tokenizer.load(directory)
        #expect((0..<587).allSatisfy { copy.token(for: $0) == tokenizer.token(for: $0) })
        #expect(copy.addedTokens.map(\.isSpecial) == tokenizer.addedTokens.map(\.isSpecial))
        for item in try Fixtures.decode("tokenizer_cases.json", as: [TokenizerTests.Case].self) {
          #expect(copy.encode(item.text) == item.ids)
        }
      }
    }
  }

  @Test func writingIntoNoDirectoryThrows() throws {
    let nowhere = FileManager.default.temporaryDirectory.appendingPathComponent("absent/absent")
    #expect(throws: CocoaError.self) { try Fixtures.tokenizer().write(to: nowhere) }
  }
}
