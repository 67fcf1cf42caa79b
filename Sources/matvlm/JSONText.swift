import Foundation

extension Encodable {
  /// One line of JSON with sorted keys, `likeThis` spelled `like_this`.
  func jsonText() throws -> String {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }
}
