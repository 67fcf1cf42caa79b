import ArgumentParser
import Foundation
import MaTVLMCore

/// The output folder cannot be used.
enum OutputError: Error, CustomStringConvertible {
  case occupied(String)
  case unwritable(String, reason: String)

  var description: String {
    switch self {
    case .occupied(let path):
      "\(path): exists and is not empty; choose another --output, or add --overwrite"
    case .unwritable(let path, let reason):
      "\(path): cannot be written: \(reason)"
    }
  }
}

/// Where a model is written.
struct OutputOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("The folder to write.", valueName: "dir"),
    completion: .directory)
  var output: String = "matvlm-student"

  @Flag(help: "Replace the folder if it holds an earlier result.")
  var overwrite = false

  /// A link stands for the folder that it leads to.
  var folder: URL {
    URL(fileURLWithPath: output, isDirectory: true).standardizedFileURL.resolvingSymlinksInPath()
  }

  /// Whether a result may take the place of what is there.
  func mayReplace(_ existing: URL) -> Bool { overwrite && Self.isResult(existing) }

  /// A folder that this program wrote: a model, or the log of a run that did not end.
  private static func isResult(_ folder: URL) -> Bool {
    ["config.json", TrainingLog.names[0]].contains { name in
      FileManager.default.fileExists(atPath: folder.appendingPathComponent(name).path)
    }
  }

  /// Finds out that the folder can be written, before any work is done and without changing it.
  func check() throws {
    let manager = FileManager.default
    var isFolder: ObjCBool = false
    guard manager.fileExists(atPath: folder.path, isDirectory: &isFolder) else {
      return try checkParent()
    }
    guard isFolder.boolValue else {
      throw OutputError.unwritable(output, reason: "it is a file, not a folder")
    }
    let isEmpty = (try? manager.contentsOfDirectory(atPath: folder.path).isEmpty) ?? false
    guard isEmpty || mayReplace(folder) else { throw OutputError.occupied(output) }
    try checkParent()
  }

  private func checkParent() throws {
    let parent = folder.deletingLastPathComponent().path
    guard FileManager.default.fileExists(atPath: parent) else {
      throw OutputError.unwritable(output, reason: "there is no folder \(parent)")
    }
    guard FileManager.default.isWritableFile(atPath: parent) else {
      throw OutputError.unwritable(output, reason: "the folder \(parent) is not writable")
    }
  }
}
