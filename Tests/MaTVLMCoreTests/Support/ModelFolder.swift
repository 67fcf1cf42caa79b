import Foundation
import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport

/// A copy of a golden model folder, to be changed.
struct ModelFolder {
  private let temporary: TemporaryFolder
  private let original: URL
  var url: URL { temporary["model"] }

  init(_ name: String = "student") throws {
    temporary = try TemporaryFolder()
    original = GoldenModels.folder(name)
    try FileManager.default.copyItem(at: original, to: url)
  }

  /// Another place beside the copy.
  subscript(_ name: String) -> URL { temporary[name] }

  func load() throws -> VisionLanguageModel { try .load(url) }

  /// Sets, or for nil takes away, a value of a JSON file.
  func set(_ path: [String], of file: String = "config.json", to value: JSONValue?) throws {
    let place = url.appending(path: file)
    let json = try JSONDecoder().decode(JSONValue.self, from: Data(contentsOf: place))
    try json.setting(path, to: value).text().write(to: place)
  }

  func remove(_ file: String) throws {
    try FileManager.default.removeItem(at: url.appending(path: file))
  }

  /// Writes the tensors that `change` makes of the original ones.
  /// - Parameter source: the folder with the original ones; nil: what the copy was made of.
  func rewriteTensors(
    of source: URL? = nil, _ change: ([CheckpointTensor]) -> [CheckpointTensor]
  ) throws {
    let checkpoint = try Checkpoint.open(source ?? original)
    try remove("model.safetensors")
    try Checkpoint.write(change(checkpoint.names.compactMap(checkpoint.tensor)), to: url)
  }

  /// Replaces one tensor by the zeros of another shape, or takes it away.
  func replace(_ name: String, by shape: Shape?) throws {
    try replace([name: shape])
  }

  /// The same for several tensors.
  func replace(_ shapes: [String: Shape?]) throws {
    try rewriteTensors { tensors in
      tensors.compactMap { tensor in
        guard let change = shapes[tensor.name] else { return tensor }
        return change.map { CheckpointTensor(tensor.name, .zeros($0)) }
      }
    }
  }
}

/// What a model folder holds, for comparison.
struct FolderContent {
  struct StoredTensor: Equatable {
    let type: SafetensorsType
    let shape: Shape
    let bytes: Data
  }

  let tensors: [String: StoredTensor]
  let json: [String: JSONValue]
  /// Tokenizer files byte by byte.
  let tokenizer: [String: Data]

  init(_ folder: URL) throws {
    var tensors: [String: StoredTensor] = [:]
    for file in try Checkpoint.open(folder).files {
      for entry in file.entries {
        tensors[entry.name] = StoredTensor(
          type: entry.type, shape: entry.shape, bytes: Data(file.bytes(of: entry)))
      }
    }
    self.tensors = tensors
    var (json, tokenizer): ([String: JSONValue], [String: Data]) = ([:], [:])
    for name in try FileManager.default.contentsOfDirectory(atPath: folder.path) {
      let data = try Data(contentsOf: folder.appending(path: name))
      if ["config.json", "mamba_config.json"].contains(name) {
        json[name] = try JSONDecoder().decode(JSONValue.self, from: data)
      } else if !name.hasPrefix("model") {
        tokenizer[name] = data
      }
    }
    (self.json, self.tokenizer) = (json, tokenizer)
  }
}
