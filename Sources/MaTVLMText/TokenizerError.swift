import Foundation

/// What can be wrong with the files of a tokenizer.
public enum TokenizerError: Error, Equatable, CustomStringConvertible, LocalizedError {
  /// The directory holds neither form of a tokenizer.
  case missing(directory: String)
  /// The file cannot be read.
  case unreadable(file: String, reason: String)
  /// The file is larger than any tokenizer's.
  case tooLarge(file: String, limit: Int)
  /// The value at `key` is not what a byte-level BPE tokenizer has there.
  case invalid(file: String, key: String, expected: String, found: String)

  public var description: String {
    switch self {
    case .missing(let directory):
      "\(directory): no tokenizer. Expected tokenizer.json, or vocab.json with merges.txt; copy "
        + "them from the model's repository."
    case .unreadable(let file, let reason): "\(file): \(reason)"
    case .tooLarge(let file, let limit):
      "\(file): larger than \(limit) bytes, the most a tokenizer file may have."
    case .invalid(let file, let key, let expected, let found):
      "\(file): \(key): expected \(expected), found \(found)."
    }
  }

  public var errorDescription: String? { description }
}
