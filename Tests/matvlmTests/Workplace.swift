import Foundation
import MaTVLMTestSupport

/// A folder with copies of golden files, for one test to use and to spoil: `teacher/` (four layers,
/// two shards), `data.json` and `images/`.
struct Workplace {
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    for name in ["teacher", "data.json", "images"] {
      try FileManager.default.copyItem(at: Golden.folder.appending(path: name), to: folder[name])
    }
  }

  func run(
    _ arguments: String..., fileLimit: Int? = nil, outputFile: String? = nil, input: String = ""
  ) throws -> Command {
    try run(arguments, fileLimit: fileLimit, outputFile: outputFile, input: input)
  }

  func run(
    _ arguments: [String], fileLimit: Int? = nil, outputFile: String? = nil, input: String = ""
  ) throws -> Command {
    try Command(
      arguments, in: folder, fileLimit: fileLimit, outputFile: outputFile, input: input)
  }

  static let distill =
    "distill --teacher teacher --data data.json --image-folder images --output student"
    .split(separator: " ").map(String.init)

  /// Distils into `student/` on the fixtures; options that are given again count.
  func distill(_ options: String..., fileLimit: Int? = nil) throws -> Command {
    try run(Self.distill + options, fileLimit: fileLimit)
  }

  /// Every path, hidden ones included: what a command left behind shows.
  var content: [String] { get throws { try folder.content } }

  func text(_ path: String) throws -> String {
    try String(contentsOf: folder[path], encoding: .utf8)
  }

  /// Replaces text in a file that has it.
  func edit(_ path: String, _ old: String, _ new: String) throws {
    let text = try text(path)
    precondition(text.contains(old), "\(path) has no \(old)")
    try folder.write(path, Data(text.replacing(old, with: new, maxReplacements: 1).utf8))
  }

  /// Changes the header of a safetensors file; its length is written anew.
  func editHeader(_ path: String, _ old: String, _ new: String) throws {
    let file = try Data(contentsOf: folder[path])
    let length = file.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    let header = String(decoding: file.dropFirst(8).prefix(length), as: UTF8.self)
    precondition(header.contains(old), "the header of \(path) has no \(old)")
    let changed = Data(header.replacing(old, with: new, maxReplacements: 1).utf8)
    let prefix = withUnsafeBytes(of: UInt64(changed.count).littleEndian) { Data($0) }
    try folder.write(path, prefix + changed + file.dropFirst(8 + length))
  }
}
