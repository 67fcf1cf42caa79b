import Foundation

extension Checkpoint {
  /// Writes tensors as Transformers does: `model.safetensors`, or, when that would be too large,
  /// `model-00001-of-0000N.safetensors` and so on with an index.
  ///
  /// Within a file the parts of quantised matrices come first, on whole cache lines and next to each
  /// other, then tensors with larger elements, so that each is aligned for its type when the file is
  /// mapped; apart from that the order stays.
  /// - Parameters:
  ///   - directory: an existing folder without a checkpoint, as a rule ``AtomicFolder/temporary``.
  ///   - maximumShardBytes: how much data goes into one file; a larger tensor gets its own.
  /// - Throws: ``CheckpointError/unwritable(path:code:)``.
  /// - Precondition: no two tensors have one name.
  public static func write(
    _ tensors: [CheckpointTensor], to directory: URL, maximumShardBytes: Int = 5 << 30
  ) throws {
    let shards = split(tensors, maximumShardBytes)
    let names = fileNames(shards.count)
    let pairs = zip(shards, names).flatMap { shard, file in shard.map { ($0.name, file) } }
    let index = CheckpointIndex(
      shards: Dictionary(pairs) { _, _ in
        fatalError("Checkpoint.write: two tensors have one name")
      })
    for (shard, name) in zip(shards, names) {
      let (parts, whole) = (shard.filter(\.isPart), shard.filter { !$0.isPart })
      let sizes = Set(whole.map(\.type.byteCount)).sorted(by: >)
      let aligned = sizes.flatMap { size in whole.filter { $0.type.byteCount == size } }
      try SafetensorsWriter.write(
        parts + aligned, alignment: parts.isEmpty ? 8 : 64, to: directory.appending(path: name))
    }
    if shards.count > 1 {
      let total = tensors.map(\.byteCount).reduce(0, +)
      try AtomicFile.write(
        Data(index.encoded(totalSize: total).utf8),
        to: directory.appending(path: CheckpointIndex.fileName))
    }
  }

  /// At least one shard; none but a shard of one tensor exceeds the limit.
  private static func split(_ tensors: [CheckpointTensor], _ limit: Int) -> [[CheckpointTensor]] {
    var shards: [[CheckpointTensor]] = [[]]
    var bytes = 0
    for tensor in tensors {
      if bytes > 0 && bytes + tensor.byteCount > limit {
        shards.append([])
        bytes = 0
      }
      shards[shards.count - 1].append(tensor)
      bytes += tensor.byteCount
    }
    return shards
  }

  private static func fileNames(_ count: Int) -> [String] {
    guard count > 1 else { return [fileName] }
    return (1...count).map { String(format: "model-%05d-of-%05d.safetensors", $0, count) }
  }
}
