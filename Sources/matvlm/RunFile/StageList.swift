import ArgumentParser
import Yams

/// The stages of a run as they are written: a YAML list of sections, each with the options of
/// ``RunFileSchema/stage``.
struct StageList {
  struct Stage {
    let name: String
    /// As on a command line, without the name.
    var values: [String: String]
  }

  private(set) var stages: [Stage]

  init(_ stages: [Stage]) { self.stages = stages }

  /// - Parameter origin: what an error names.
  /// - Throws: ``RunFileError`` naming the key.
  init(_ node: Node, in origin: String) throws {
    guard let list = node.sequence, !list.isEmpty else {
      throw RunFileError.wrong(file: origin, key: "stages", expected: "a list of stages")
    }
    stages = []
    for (index, node) in list.enumerated() {
      let number = "stages[\(index + 1)]"
      guard let options = node.mapping else {
        throw RunFileError.wrong(file: origin, key: number, expected: "a stage's options")
      }
      var values: [String: String] = [:]
      for (option, value) in options {
        let option = option.string ?? ""
        try Self.check(option, of: number, in: origin)
        values[option] = try RunFile.text(value, of: "\(number).\(option)", in: origin)
      }
      let name = values.removeValue(forKey: "name") ?? "stage-\(index + 1)"
      stages.append(Stage(name: name, values: values))
    }
  }

  /// What a command line says.
  /// - Throws: `ValidationError`.
  init(yaml: String) throws {
    do {
      guard let node = try Yams.compose(yaml: yaml) else {
        throw ValidationError("--stages needs a YAML list of stages.")
      }
      try self.init(node, in: "--stages")
    } catch let error as RunFileError {
      throw ValidationError("\(error).")
    } catch let error as YamlError {
      throw ValidationError("--stages is not YAML: \(error)")
    }
  }

  /// Sets `stage.option`; an empty value takes the option away.
  mutating func set(_ key: Substring, to value: String, in origin: String) throws {
    let parts = key.split(separator: ".", maxSplits: 1).map(String.init)
    guard parts.count == 2, let index = stages.firstIndex(where: { $0.name == parts[0] }) else {
      let names = stages.map(\.name).joined(separator: ", ")
      throw RunFileError.wrong(
        file: origin, key: "stages.\(key)",
        expected: "stages.NAME.option with one of the stages \(names)")
    }
    try Self.check(parts[1], of: "stages.\(parts[0])", in: origin)
    for option in RunFileSchema.displaced(by: parts[1]) { stages[index].values[option] = nil }
    if !value.isEmpty { stages[index].values[parts[1]] = value }
  }

  private static func check(_ option: String, of stage: String, in origin: String) throws {
    guard RunFileSchema.stage.contains(option) else {
      throw RunFileError.unknown(
        file: origin, key: "\(stage).\(option)",
        nearest: RunFileSchema.nearest(to: option, RunFileSchema.stage))
    }
  }

  /// The same on one line.
  var text: String {
    func quoted(_ text: String) -> String { "'" + text.replacing("'", with: "''") + "'" }
    let sections = stages.map { stage in
      let options = RunFileSchema.stage.compactMap { option in
        (option == "name" ? stage.name : stage.values[option]).map { "\(option): \(quoted($0))" }
      }
      return "{" + options.joined(separator: ", ") + "}"
    }
    return "[" + sections.joined(separator: ", ") + "]"
  }

  /// The same as YAML, options in the order of the schema.
  var node: Node {
    Node(
      stages.map { stage in
        let options = RunFileSchema.stage.compactMap { option -> (Node, Node)? in
          (option == "name" ? stage.name : stage.values[option]).map { (Node(option), Node($0)) }
        }
        return Node(options)
      })
  }
}

/// The options of one stage.
struct StageOptions: ParsableArguments {
  @Option var trains: String?
  @OptionGroup var objective: ObjectiveOptions
  @OptionGroup var training: TrainingOptions

  /// - Throws: `ValidationError` naming the stage.
  static func parse(_ stage: StageList.Stage) throws -> StageOptions {
    let arguments = RunFileSchema.stage.compactMap { option in
      stage.values[option].map { "--\(option)=\($0)" }
    }
    do {
      return try parse(arguments)
    } catch {
      throw ValidationError("stage \(stage.name): \(message(for: error))")
    }
  }
}
