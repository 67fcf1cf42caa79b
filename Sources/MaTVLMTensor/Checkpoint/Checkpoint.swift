import Foundation
import Synchronization

/// The weights of a model folder: `model.safetensors`, or `model.safetensors.index.json` and the
/// shards that it names.
///
/// Opening checks every header; values are read when a model asks for them, from memory-mapped
/// files. The checkpoint knows what was asked for, so that afterwards what nobody wanted can be
/// refused (``requireNothingUnexpected(ignoring:)``) or carried along (``unused``).
public struct Checkpoint: Sendable {
  static let fileName = "model.safetensors"

  /// What lists the tensors: the single file or the index; named by errors about missing ones.
  public let manifest: URL
  /// The single file, or every shard in the order of their names.
  public let files: [SafetensorsFile]
  private let locations: [String: Int]  // tensor name → index in `files`
  private let requests = Requests()

  /// - Throws: ``CheckpointError`` naming file and tensor when the folder has no checkpoint, a file
  ///   of it is damaged, or index and shards disagree.
  public static func open(_ directory: URL) throws -> Checkpoint {
    let single = directory.appending(path: fileName)
    let index = directory.appending(path: CheckpointIndex.fileName)
    let exists = { (url: URL) in FileManager.default.fileExists(atPath: url.path) }
    if exists(single) { return try Checkpoint(file: single) }
    if exists(index) { return try Checkpoint(index: index) }
    throw CheckpointError.unreadable(
      path: directory.path,
      cause: exists(directory)
        ? "expected \(fileName) or \(CheckpointIndex.fileName) in it, found neither"
        : "there is no such folder")
  }

  private init(file: URL) throws {
    manifest = file
    files = [try SafetensorsFile(file)]
    locations = Dictionary(uniqueKeysWithValues: files[0].names.map { ($0, 0) })
  }

  private init(index url: URL) throws {
    let index = try CheckpointIndex(reading: url)
    let directory = url.deletingLastPathComponent()
    manifest = url
    files = try index.fileNames.map { try SafetensorsFile(directory.appending(path: $0)) }
    var locations: [String: Int] = [:]
    for (position, file) in files.enumerated() {
      for name in file.names {
        if let other = locations.updateValue(position, forKey: name) {
          throw CheckpointError.malformed(
            path: file.url.path, tensor: name,
            problem: "it is also in \(files[other].url.lastPathComponent)")
        }
        guard index.shards[name] == file.url.lastPathComponent else {
          throw CheckpointError.malformed(
            path: url.path, tensor: name,
            problem: "expected in \(index.shards[name].map(quoted) ?? "no shard"), "
              + "found in \(file.url.lastPathComponent)")
        }
      }
    }
    for (name, shard) in index.shards.sorted(by: { $0.key < $1.key }) where locations[name] == nil {
      throw CheckpointError.malformed(
        path: url.path, tensor: name, problem: "expected in \(quoted(shard)), not found there")
    }
    self.locations = locations
  }

  /// Where a model takes its parameters from.
  /// - Parameter format: how matrices are stored, and how they are to be held.
  public func source(
    _ format: WeightFormat = WeightFormat(), on device: Device = .cpu
  ) -> ParameterSource {
    ParameterSource(self, format, on: device)
  }

  /// The names of all tensors, file after file in the order of their bytes.
  public var names: [String] { files.flatMap(\.names) }

  /// The tensor of this name as it is stored, of whatever type; nil when there is none. This does
  /// not count as asking for it.
  public func tensor(_ name: String) -> CheckpointTensor? {
    stored(name).map { CheckpointTensor($0.entry, of: $0.file) }
  }

  /// The tensors that no model asked for: what a saver carries along to lose nothing.
  public var unused: [CheckpointTensor] {
    let asked = requests.names.withLock(\.self)
    return names.filter { !asked.contains($0) }.compactMap(tensor)
  }

  /// Call this after a model was built.
  /// - Parameter ignoring: whether a name may go unused, as SigLIP's pooling head does.
  /// - Throws: ``CheckpointError/unexpectedTensors(path:tensors:)`` naming the others that nobody
  ///   asked for.
  public func requireNothingUnexpected(ignoring: (String) -> Bool = { _ in false }) throws {
    let unexpected = unused.map(\.name).filter { !ignoring($0) }
    guard unexpected.isEmpty else {
      throw CheckpointError.unexpectedTensors(path: manifest.path, tensors: unexpected)
    }
  }

  /// File and entry of a tensor that is asked for, which is noted.
  /// - Throws: ``CheckpointError/missingTensor(path:tensor:)``.
  func requested(_ name: String) throws -> (file: SafetensorsFile, entry: SafetensorsFile.Entry) {
    guard let found = stored(name) else {
      throw CheckpointError.missingTensor(path: manifest.path, tensor: name)
    }
    _ = requests.names.withLock { $0.insert(name) }
    return found
  }

  func contains(_ name: String) -> Bool { locations[name] != nil }

  private func stored(_ name: String) -> (file: SafetensorsFile, entry: SafetensorsFile.Entry)? {
    guard let location = locations[name], let entry = files[location].entry(name) else {
      return nil
    }
    return (files[location], entry)
  }

  /// Which tensors were asked for, by whatever copy of the checkpoint.
  private final class Requests: Sendable {
    let names = Mutex<Set<String>>([])
  }
}
