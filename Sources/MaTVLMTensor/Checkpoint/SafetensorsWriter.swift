import Foundation

/// Writes safetensors files; no more than a chunk of one tensor is in memory besides the tensors.
public enum SafetensorsWriter {
  /// Writes `tensors` in the order given. What ``SafetensorsFile`` reads, written again in the same
  /// order with the same metadata, gives the same bytes, if the reference implementation wrote it.
  ///
  /// - Parameters:
  ///   - metadata: free text; Transformers refuses files without `format`.
  ///   - alignment: the multiple of bytes that the first tensor begins at; 8 in the reference.
  /// - Throws: ``CheckpointError/unwritable(path:code:)``; what was at `url` is untouched then.
  /// - Precondition: no two tensors have one name, and none is called `__metadata__`.
  public static func write(
    _ tensors: [CheckpointTensor], metadata: [String: String] = ["format": "pt"],
    alignment: Int = 8, to url: URL
  ) throws {
    var names: Set<String> = ["__metadata__"]
    for tensor in tensors {
      require(names.insert(tensor.name).inserted, "SafetensorsWriter: two \(tensor.name)")
    }
    let header = SafetensorsHeader(metadata: metadata, of: tensors)
      .encoded(alignment: alignment)
    try AtomicFile.write(to: url) { output in
      try header.withUnsafeBytes(output.write)
      for tensor in tensors { try tensor.forEachChunk(output.write) }
    }
  }
}
