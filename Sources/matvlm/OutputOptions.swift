import ArgumentParser
import Foundation
import MaTVLMCore

/// The output folder cannot be used.
enum OutputError: Error, CustomStringConvertible {
  case occupied(String)
  /// A run that has not finished, which a result of another kind must not replace.
  case unfinished(String)
  /// The unfinished run is not the one that was asked for.
  case otherRun(String, difference: String)
  case nothingToResume(String)
  /// A run of another process is under way.
  case busy(String)
  case unwritable(String, reason: String)

  var description: String {
    switch self {
    case .occupied(let path):
      "\(path): exists and is not empty; choose another --output, or add --overwrite"
    case .unfinished(let path):
      "\(path): holds an unfinished run; finish it, or choose another --output"
    case .otherRun(let path, let difference):
      "\(path): holds an unfinished run that is not this one: \(difference); run what began it, "
        + "choose another --output, or give it up with --no-resume --overwrite"
    case .nothingToResume(let path):
      "\(path): holds no unfinished run; leave out --resume to begin one"
    case .busy(let path):
      "\(path): another process is at work on the run in this folder; wait for it, or choose "
        + "another --output"
    case .unwritable(let path, let reason):
      "\(path): cannot be written: \(reason)"
    }
  }
}

/// Where a model is written.
struct OutputOptions: ParsableArguments {
  static let standard = "matvlm-student"

  @Option(
    help: ArgumentHelp("The folder to write.", valueName: "dir"),
    completion: .directory)
  var output = Self.standard

  @Flag(help: "Replace the folder if it holds an earlier result.")
  var overwrite = false

  /// A link stands for the folder that it leads to.
  var folder: URL {
    URL(fileURLWithPath: output, isDirectory: true).standardizedFileURL.resolvingSymlinksInPath()
  }

  /// Whether a result may take the place of what is there.
  func mayReplace(_ existing: URL) -> Bool {
    overwrite && Self.isResult(existing) && !RunLock.exists(in: existing)
  }

  /// A folder that this program wrote: a model, or the log of a run that did not end.
  private static func isResult(_ folder: URL) -> Bool {
    ["config.json", TrainingLog.names[0]].contains { name in
      FileManager.default.fileExists(atPath: folder.appendingPathComponent(name).path)
    }
  }

  /// Finds out that the folder can be written, before any work is done and without changing it.
  ///
  /// - Parameter run: how a run treats an unfinished one; nil: the result is not a run's.
  func check(for run: CheckpointOptions? = nil) throws {
    if run?.resume == true, !RunLock.exists(in: folder) {
      throw OutputError.nothingToResume(output)
    }
    let manager = FileManager.default
    var isFolder: ObjCBool = false
    guard manager.fileExists(atPath: folder.path, isDirectory: &isFolder) else {
      return try checkParent()
    }
    guard isFolder.boolValue else {
      throw OutputError.unwritable(output, reason: "it is a file, not a folder")
    }
    if RunLock.exists(in: folder) {
      guard run != nil else { throw OutputError.unfinished(output) }
      return try RunLock.check(folder)
    }
    let isEmpty = (try? manager.contentsOfDirectory(atPath: folder.path).isEmpty) ?? false
    guard isEmpty || mayReplace(folder) else { throw OutputError.occupied(output) }
    try checkParent()
  }

  /// The same by rank 0, which is the one that writes.
  func check(for run: CheckpointOptions, among ranks: any Communicator) throws {
    _ = try ranks.gather {
      if ranks.rank == 0 { try check(for: run) }
      return true
    }
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
