import ArgumentParser
import Foundation
import MaTVLMCore

/// Where options come from that the command line does not give. They are read before the command
/// line is parsed, and come before it.
struct RunFileOptions: ParsableArguments {
  @Option(
    help: "A YAML file of options; the command line counts more.",
    completion: .file(extensions: ["yaml", "yml"]))
  var config: String?

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp("Sets an option on top of the file.", valueName: "section.option=value"))
  var set: [String] = []

  func validate() throws {
    if config != nil || !set.isEmpty {
      throw ValidationError("--config and --set come after 'distill', 'plan' or 'pretrain'.")
    }
  }
}

/// A command line with its run file put into it.
struct ExpandedArguments {
  private(set) var arguments: [String]

  /// - Parameter arguments: without the program's name.
  /// - Throws: ``RunFileError``, and `ValidationError` for what is wrong with the command line itself.
  init(_ arguments: [String]) throws {
    self.arguments = arguments
    guard let schema = RunFileSchema.all.first(where: { $0.verb == arguments.first }) else {
      return
    }
    var rest = Array(arguments.dropFirst())
    let (files, sets) = (try Self.take("--config", &rest), try Self.take("--set", &rest))
    guard files.count < 2 else { throw ValidationError("Give --config once.") }
    var file = RunFile(schema)
    if let path = files.first ?? Self.ownFile(rest) { try file.read(path) }
    for text in sets { try Self.apply(text, to: &file) }
    file.remove(displacedBy: Set(rest.compactMap(Self.optionName)))
    self.arguments = [schema.verb] + file.arguments + rest
  }

  /// Takes every `option value` and `option=value` out.
  private static func take(_ option: String, _ arguments: inout [String]) throws -> [String] {
    var (values, rest): ([String], [String]) = ([], [])
    var position = 0
    while position < arguments.count {
      let argument = arguments[position]
      if argument == option {
        position += 1
        guard position < arguments.count else {
          throw ValidationError("\(option) needs a value.")
        }
        values.append(arguments[position])
      } else if argument.hasPrefix(option + "=") {
        values.append(String(argument.dropFirst(option.count + 1)))
      } else {
        rest.append(argument)
      }
      position += 1
    }
    arguments = rest
    return values
  }

  private static func apply(_ text: String, to file: inout RunFile) throws {
    let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2 else {
      throw ValidationError("--set takes section.option=value, not \(text).")
    }
    let key = String(parts[0])
    let option = key.split(separator: ".").last.map(String.init) ?? key
    file.remove(displacedBy: [option])
    do {
      try file.set(key, to: String(parts[1]), in: "--set")
    } catch let error as RunFileError {
      throw ValidationError("\(error)")
    }
  }

  /// The file that an unfinished run left, if it is to go on and nothing else says how.
  private static func ownFile(_ arguments: [String]) -> String? {
    guard arguments.contains("--resume") else { return nil }
    var output = OutputOptions.standard
    for (position, argument) in arguments.enumerated() {
      if argument == "--output", position + 1 < arguments.count { output = arguments[position + 1] }
      if argument.hasPrefix("--output=") { output = String(argument.dropFirst("--output=".count)) }
    }
    let file = URL(fileURLWithPath: output, isDirectory: true)
      .appendingPathComponent(EffectiveSettings.fileName).path
    return FileManager.default.fileExists(atPath: file) ? file : nil
  }

  private static func optionName(_ argument: String) -> String? {
    guard argument.hasPrefix("--") else { return nil }
    return argument.dropFirst(2).split(separator: "=").first.map(String.init)
  }
}
