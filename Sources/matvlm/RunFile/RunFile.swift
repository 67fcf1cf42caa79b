import Foundation
import Yams

/// A run file cannot be used.
enum RunFileError: Error, CustomStringConvertible {
  case unreadable(file: String, reason: String)
  case unknown(file: String, key: String, nearest: String?)
  case wrong(file: String, key: String, expected: String)

  var description: String {
    switch self {
    case .unreadable(let file, let reason):
      "\(file): cannot be read as a run file: \(reason)"
    case .unknown(let file, let key, let nearest):
      "\(file): there is no option \(key)" + (nearest.map { "; did you mean \($0)?" } ?? "")
    case .wrong(let file, let key, let expected):
      "\(file): \(key) must be \(expected)"
    }
  }
}

/// Options by name, as text: what a file, and `--set` on top of it, give a verb.
struct RunFile {
  /// A run file is a page; anything far larger is not one.
  private static let maximumBytes = 1 << 20

  let schema: RunFileSchema
  private(set) var values: [String: String] = [:]
  private var stages: StageList?

  init(_ schema: RunFileSchema) { self.schema = schema }

  /// Reads a file of sections of options.
  /// - Throws: ``RunFileError`` naming the file and the key.
  mutating func read(_ path: String) throws {
    let text = try Self.text(of: path)
    let root: Node?
    do {
      root = try Yams.compose(yaml: text)
    } catch {
      throw RunFileError.unreadable(file: path, reason: "it is not YAML: \(error)")
    }
    guard let root else { return }
    guard let sections = root.mapping else {
      throw RunFileError.unreadable(file: path, reason: "expected sections of options")
    }
    for (section, options) in sections {
      let name = section.string ?? ""
      if name == RunFileSchema.stages, schema.keys.contains(name), options.null == nil {
        stages = try StageList(options, in: path)
        continue
      }
      guard let options = options.mapping else {
        guard options.null == nil else { continue }  // a section without options
        throw RunFileError.wrong(file: path, key: name, expected: "a section of options")
      }
      for (option, value) in options {
        let key = "\(name).\(option.string ?? "")"
        try set(key, to: Self.text(value, of: key, in: path), in: path)
      }
    }
  }

  /// Sets `section.option`; nil takes the option away.
  /// - Parameter origin: what an error names.
  mutating func set(_ key: String, to value: String?, in origin: String) throws {
    if let value, stages != nil, key.hasPrefix("\(RunFileSchema.stages).") {
      try stages?.set(key.dropFirst(RunFileSchema.stages.count + 1), to: value, in: origin)
      return
    }
    guard schema.keys.contains(key) else {
      throw RunFileError.unknown(file: origin, key: key, nearest: schema.nearest(to: key))
    }
    let option = key.split(separator: ".").last.map(String.init) ?? key
    if let value, schema.isFlag(option), !["true", "false"].contains(value) {
      throw RunFileError.wrong(file: origin, key: key, expected: "true or false, not \(value)")
    }
    values[option] = value
    if option == RunFileSchema.stages { stages = nil }
  }

  /// Takes away what options that come later replace.
  mutating func remove(displacedBy options: Set<String>) {
    for option in options.flatMap(RunFileSchema.displaced(by:)) { values[option] = nil }
    if options.contains(RunFileSchema.stages) { stages = nil }
  }

  /// The command line that says the same.
  var arguments: [String] {
    schema.sections.flatMap(\.options).compactMap { option in
      if option == RunFileSchema.stages, let stages { return "--\(option)=\(stages.text)" }
      guard let value = values[option] else { return nil }
      guard schema.isFlag(option) else { return "--\(option)=\(value)" }
      if option == "resume" { return value == "true" ? "--resume" : "--no-resume" }
      return value == "true" ? "--\(option)" : nil
    }
  }

  private static func text(of path: String) throws -> String {
    do {
      let url = URL(fileURLWithPath: path)
      let size = try url.resourceValues(forKeys: [.fileSizeKey]).fileSize ?? 0
      guard size <= maximumBytes else {
        throw RunFileError.unreadable(
          file: path, reason: "\(size) bytes, more than a page of options")
      }
      return try String(contentsOf: url, encoding: .utf8)
    } catch let error as RunFileError {
      throw error
    } catch {
      throw RunFileError.unreadable(file: path, reason: "the file is missing, closed, or not text")
    }
  }

  /// A number, text, true or false as it is written; a list with commas; nil for nothing.
  static func text(_ node: Node, of key: String, in path: String) throws -> String? {
    if node.null != nil { return nil }
    if let scalar = node.scalar { return scalar.string }
    let items = (node.sequence.map(Array.init) ?? []).compactMap(\.scalar?.string)
    guard let count = node.sequence?.count, items.count == count else {
      throw RunFileError.wrong(file: path, key: key, expected: "a value or a list of values")
    }
    return items.joined(separator: ",")
  }
}
