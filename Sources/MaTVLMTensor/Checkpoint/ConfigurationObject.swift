import Foundation

/// What is wrong with a configuration file.
public enum ConfigurationError: Error, Sendable, Hashable, CustomStringConvertible {
  case unreadable(file: String, reason: String)
  case missing(file: String, key: String)
  case wrong(file: String, key: String, expected: String, found: String)

  public var description: String {
    switch self {
    case .unreadable(let file, let reason):
      "\(file): cannot be read as JSON: \(reason)"
    case .missing(let file, let key):
      "\(file): the key \(key) is missing; take the whole file from the model's publisher"
    case .wrong(let file, let key, let expected, let found):
      "\(file): \(key) must be \(expected), found \(found)"
    }
  }
}

/// An object of a configuration file, which knows where it stands: every error names the file and
/// the whole key.
public struct ConfigurationObject: Sendable {
  /// The file's path as people know it.
  public let file: String
  /// The keys that lead here, dotted; empty at the top.
  public let path: String
  public let values: [String: JSONValue]

  /// Configurations are a few kilobytes; anything larger is not one.
  private static let maximumBytes = 16 << 20

  public init(file: String, path: String = "", values: [String: JSONValue]) {
    (self.file, self.path, self.values) = (file, path, values)
  }

  /// Reads a file that holds one JSON object.
  /// - Throws: ``ConfigurationError`` when the file is missing, too large, or not a JSON object.
  public init(contentsOf url: URL) throws {
    let data: Data
    do {
      let size = try url.resourceValues(forKeys: [.fileSizeKey]).fileSize ?? 0
      guard size <= Self.maximumBytes else {
        throw ConfigurationError.unreadable(
          file: url.path, reason: "\(size) bytes, more than a configuration has")
      }
      data = try Data(contentsOf: url)
    } catch let error as ConfigurationError {
      throw error
    } catch {
      throw ConfigurationError.unreadable(file: url.path, reason: "the file is missing or closed")
    }
    do {
      guard case .object(let values) = try JSONDecoder().decode(JSONValue.self, from: data) else {
        throw ConfigurationError.unreadable(file: url.path, reason: "it is not an object")
      }
      self.init(file: url.path, values: values)
    } catch let error as DecodingError {
      throw ConfigurationError.unreadable(file: url.path, reason: error.reason)
    }
  }

  public func contains(_ key: String) -> Bool { values[key].map { $0 != .null } ?? false }

  /// The object under `key`.
  public func object(_ key: String) throws -> ConfigurationObject {
    guard case .object(let values) = try required(key) else {
      throw wrong(key, expected: "an object")
    }
    return ConfigurationObject(file: file, path: whole(key), values: values)
  }

  /// An integer in `range`.
  public func integer(_ key: String, in range: ClosedRange<Int> = 1...(1 << 24)) throws -> Int {
    guard case .integer(let value) = try required(key), range.contains(value) else {
      throw wrong(key, expected: "a whole number in \(range.lowerBound)...\(range.upperBound)")
    }
    return value
  }

  /// A finite number in `range`.
  public func number(_ key: String, in range: ClosedRange<Double>) throws -> Double {
    let value: Double
    switch try required(key) {
    case .integer(let integer): value = Double(integer)
    case .number(let number): value = number
    default: throw wrong(key, expected: "a number")
    }
    guard range.contains(value) else {
      throw wrong(key, expected: "a number in \(range.lowerBound)...\(range.upperBound)")
    }
    return value
  }

  public func bool(_ key: String) throws -> Bool {
    guard case .bool(let value) = try required(key) else {
      throw wrong(key, expected: "true or false")
    }
    return value
  }

  public func string(_ key: String) throws -> String {
    guard case .string(let value) = try required(key) else { throw wrong(key, expected: "a text") }
    return value
  }

  /// A list of whole numbers.
  public func integers(_ key: String) throws -> [Int] {
    guard case .array(let items) = try required(key) else { throw wrong(key, expected: "a list") }
    return try items.map {
      guard case .integer(let value) = $0 else {
        throw wrong(key, expected: "a list of whole numbers")
      }
      return value
    }
  }

  /// What `table` has for the text under `key`.
  public func choice<Value>(_ key: String, _ table: [String: Value]) throws -> Value {
    let name = try string(key)
    guard let value = table[name] else {
      let known = table.keys.sorted().joined(separator: ", ")
      throw wrong(key, expected: "one of \(known)")
    }
    return value
  }

  /// The error of a key whose value cannot be used.
  public func wrong(_ key: String, expected: String) -> ConfigurationError {
    let found = values[key].map { value in
      String(decoding: value.text().prefix(120), as: UTF8.self)
        .trimmingCharacters(in: .whitespacesAndNewlines)
    }
    return .wrong(file: file, key: whole(key), expected: expected, found: found ?? "nothing")
  }

  private func required(_ key: String) throws -> JSONValue {
    guard let value = values[key] else {
      throw ConfigurationError.missing(file: file, key: whole(key))
    }
    return value
  }

  private func whole(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }
}

extension DecodingError {
  fileprivate var reason: String {
    switch self {
    case .dataCorrupted(let context), .keyNotFound(_, let context),
      .typeMismatch(_, let context), .valueNotFound(_, let context):
      context.underlyingError.map { "\($0)" } ?? context.debugDescription
    @unknown default: "\(self)"
    }
  }
}
