import Foundation
import MaTVLMText

/// Files beside the tests.
enum Fixtures {
  static let directory = Bundle.module.bundleURL.appendingPathComponent("Fixtures")
  static let tokenizerFiles = directory.appendingPathComponent("tokenizer")

  static func decode<T: Decodable>(_ name: String, as type: T.Type = T.self) throws -> T {
    try JSONDecoder().decode(type, from: Data(contentsOf: directory.appendingPathComponent(name)))
  }

  /// The two forms in which a tokenizer is published.
  enum Form: CaseIterable {
    case single, separate

    var names: [String] {
      switch self {
      case .single: ["tokenizer.json", "special_tokens_map.json", "tokenizer_config.json"]
      case .separate:
        [
          "vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json",
          "tokenizer_config.json",
        ]
      }
    }
  }

  /// A new directory with the files of one form, which `body` may damage.
  @discardableResult
  static func withTokenizer<R>(_ form: Form, _ body: (URL) throws -> R) throws -> R {
    try withDirectory { directory in
      for name in form.names {
        try FileManager.default.copyItem(
          at: tokenizerFiles.appendingPathComponent(name),
          to: directory.appendingPathComponent(name))
      }
      return try body(directory)
    }
  }

  @discardableResult
  static func withDirectory<R>(_ body: (URL) throws -> R) throws -> R {
    let directory = FileManager.default.temporaryDirectory
      .appendingPathComponent("MaTVLMText-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    return try body(directory)
  }

  static func tokenizer(_ form: Form = .single) throws -> Tokenizer {
    try withTokenizer(form, Tokenizer.load)
  }
}

/// Equal scalar by scalar: Swift's `==` takes é and e with an accent for the same.
func sameScalars(_ a: String, _ b: String) -> Bool { a.utf8.elementsEqual(b.utf8) }
