import Foundation
import MaTVLMTensor
import MaTVLMText

/// Everything that decides what a run computes, by name: a run can go on where another stopped only
/// if these agree.
public struct RunIdentity: Sendable, Hashable, Codable {
  /// For example `"learning_rate": "0.0002"` or `"teacher/config.json": "512 bytes, crc32c …"`.
  public let facts: [String: String]

  /// What is not the same, in words; nil when nothing differs.
  public func difference(from earlier: RunIdentity) -> String? {
    changes(from: earlier) { "\($0) was \($1) and is now \($2)" }
  }

  /// What is not the same on another rank, in words; nil when nothing differs.
  func difference(to other: RunIdentity) -> String? {
    other.changes(from: self) { "\($0) is \($2) there, and \($1) here" }
  }

  private func changes(
    from earlier: RunIdentity, _ text: (_ name: String, _ before: String, _ now: String) -> String
  ) -> String? {
    let names = Set(facts.keys).union(earlier.facts.keys).sorted()
    let changes = names.filter { facts[$0] != earlier.facts[$0] }.map { name in
      text(name, earlier.facts[name] ?? "not there", facts[name] ?? "not there")
    }
    return changes.isEmpty ? nil : changes.joined(separator: "; ")
  }
}

extension Trainer {
  /// Settings that may change while a run goes on: how it computes, and what it does about trouble.
  private static let free: Set = ["broken_samples", "outlier_factor", "outliers", "recompute"]

  /// What this run is, before its first update. Reads the teacher's files whole.
  ///
  /// - Throws: when a file of a model cannot be read.
  /// - Precondition: no update was made.
  public func identity() throws -> RunIdentity {
    require(position.step == 0, "identity: update \(position.step)")
    var facts = try Self.settings(configuration).filter { !Self.free.contains($0.key) }
    for stage in stages {
      let settings =
        try stage.declared.map { try Self.settings($0, named: "stages.\($0.name)") }
        ?? Self.settings(stage.task.objective)
      facts.merge(settings) { one, _ in one }
    }
    facts["data"] = data.identity
    facts["held_out"] = heldOut?.identity
    facts["activations"] = student.device.backend.activationType.description
    facts["parameters at the start"] = start
    for (name, model) in task.models {
      for file in model.files {
        facts["\(name)/\(file.lastPathComponent)"] = try FileChecksum(of: file).description
      }
    }
    return RunIdentity(facts: facts)
  }

  /// What every rank has to agree about before the first update: also what may change while a run
  /// goes on, since it decides what the ranks say to each other.
  func agreement(_ identity: RunIdentity) throws -> RunIdentity {
    RunIdentity(facts: identity.facts.merging(try Self.settings(configuration)) { one, _ in one })
  }

  /// What trains, as it is: before the first update, layers, seeding and seed show in it.
  var start: String {
    var checksum = CRC32C()
    for parameter in trainedParameters {
      Data(parameter.name.utf8).withUnsafeBytes { checksum.update($0) }
      parameter.value.array().withUnsafeBytes { checksum.update($0) }
    }
    return "\(trainedParameters.count) tensors, crc32c " + String(format: "%08x", checksum.value)
  }

  /// The fields of a value, those of its fields by dotted names.
  private static func settings(
    _ value: some Encodable, named name: String = ""
  ) throws -> [String: String] {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    var settings: [String: String] = [:]
    func add(_ value: JSONValue, _ name: String) {
      switch value {
      case .object(let fields):
        for (key, field) in fields { add(field, name.isEmpty ? key : "\(name).\(key)") }
      case .bool(let value): settings[name] = "\(value)"
      case .integer(let value): settings[name] = "\(value)"
      case .number(let value): settings[name] = "\(value)"
      case .string(let value): settings[name] = value
      case .array, .null: settings[name] = "\(value)"
      }
    }
    add(try JSONDecoder().decode(JSONValue.self, from: encoder.encode(value)), name)
    return settings
  }
}

extension VisionLanguageModel {
  /// The files that the model was read from; none when it was never on disk.
  fileprivate var files: [URL] {
    guard let origin else { return [] }
    let configurations = ["config.json", "mamba_config.json"]
      .map { origin.directory.appending(path: $0) }
      .filter { FileManager.default.fileExists(atPath: $0.path) }
    return configurations + Tokenizer.files(in: origin.directory)
      + origin.checkpoint.files.map(\.url)
  }
}
