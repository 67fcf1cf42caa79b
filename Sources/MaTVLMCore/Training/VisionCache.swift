import Foundation
import MaTVLMImages
import MaTVLMTensor
import Synchronization

/// Features of pictures in a folder, a file for each, kept within a budget of bytes: those that were
/// not used for longest go first.
///
/// A file is named by what its features were made of: pixels, vision weights, preprocessing, device
/// and type. It begins with the CRC-32C of the rest, which is the features as they lie in memory. It
/// comes to its place by renaming, so that several processes can share a folder.
public final class VisionCache: Sendable {
  /// What features are of.
  struct Entry: Sendable {
    let name: String
    let shape: Shape
    let type: DType

    /// - Parameters:
    ///   - picture: prepared for the tower.
    ///   - tower: what tells it, and the preparation, from others.
    init(picture: RGBImage, tower: String, shape: Shape, type: DType) {
      var hash = FNV1a()
      hash.add(picture.pixels)
      // A second number over the same pixels: 64 bits alone are few for a folder that stays.
      let checksum = CRC32C(picture.pixels).value
      name =
        "\(String(hash.value, radix: 16))-\(String(checksum, radix: 16))"
        + "-\(picture.width)x\(picture.height)-\(tower)-\(type)"
      (self.shape, self.type) = (shape, type)
    }

    /// Bytes of its file.
    var byteCount: Int { VisionCache.checksumBytes + type.byteCount(of: shape) }
  }

  private struct State {
    /// Bytes of each file, and when it was used last, by its name.
    var files: [String: (bytes: Int, used: Date)] = [:]
    var bytes = 0
    var hasFailed = false
  }

  private static let checksumBytes = 4
  private static let suffix = ".features"

  private let folder: URL
  private let budget: Int
  private let warn: @Sendable (String) -> Void
  private let state: Mutex<State>

  /// - Parameters:
  ///   - folder: made if it is not there.
  ///   - budget: bytes of files at most.
  ///   - warn: called with what is wrong with a file, whose features are then computed again.
  /// - Throws: ``CheckpointError/unwritable(path:code:)`` when the folder cannot be made.
  /// - Precondition: the budget is not negative.
  public init(
    _ folder: URL, budget: Int, warn: @escaping @Sendable (String) -> Void
  ) throws {
    require(budget >= 0, "VisionCache: a budget of \(budget) bytes")
    (self.folder, self.budget, self.warn) = (folder, budget, warn)
    do {
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    } catch {
      throw CheckpointError.unwritable(path: folder.path, code: EACCES)
    }
    state = Mutex(Self.contents(of: folder))
    state.withLock { evict(&$0, keeping: nil) }
  }

  private static func contents(of folder: URL) -> State {
    var state = State()
    let keys: Set<URLResourceKey> = [.fileSizeKey, .contentModificationDateKey]
    let files =
      (try? FileManager.default.contentsOfDirectory(
        at: folder, includingPropertiesForKeys: Array(keys))) ?? []
    for file in files where file.lastPathComponent.hasSuffix(suffix) {
      let values = try? file.resourceValues(forKeys: keys)
      let bytes = values?.fileSize ?? 0
      state.files[file.lastPathComponent] = (bytes, values?.contentModificationDate ?? .distantPast)
      state.bytes += bytes
    }
    return state
  }

  /// The features of an entry: those that were kept, or else what `compute` makes.
  func features(_ entry: Entry, on device: Device, compute: () -> Tensor) -> Tensor {
    if let kept = read(entry, on: device) { return kept }
    let features = compute()
    write(features, entry)
    return features
  }

  private func read(_ entry: Entry, on device: Device) -> Tensor? {
    let url = url(entry)
    guard FileManager.default.fileExists(atPath: url.path) else { return nil }
    do {
      let file = try MappedFile(url)
      guard file.bytes.count == entry.byteCount else {
        throw damage(url, "expected \(entry.byteCount) bytes, found \(file.bytes.count)")
      }
      let content = UnsafeRawBufferPointer(rebasing: file.bytes[Self.checksumBytes...])
      let checksum = UInt32(littleEndian: file.bytes.loadUnaligned(as: UInt32.self))
      guard CRC32C(content).value == checksum else {
        throw damage(url, "the checksum is that of other bytes")
      }
      touch(url)
      return Tensor(copying: content, entry.shape, entry.type, on: device.backend)
    } catch {
      warn("\(error); its features are computed again")
      return nil
    }
  }

  private struct Damage: Error, CustomStringConvertible {
    let description: String
  }

  private func damage(_ url: URL, _ problem: String) -> Damage {
    Damage(description: "\(url.path): \(problem)")
  }

  private func write(_ features: Tensor, _ entry: Entry) {
    guard entry.byteCount <= budget else { return }
    let url = url(entry)
    let bytes = features.leadingBytes(atMost: .max)
    let checksum = withUnsafeBytes(of: CRC32C(bytes).value.littleEndian) { Data($0) }
    do {
      try AtomicFile.write(checksum + bytes, to: url)
    } catch {
      // Nothing depends on it; one word is enough.
      let isFirst = state.withLock { state in
        defer { state.hasFailed = true }
        return !state.hasFailed
      }
      if isFirst { warn("\(error); features are not kept") }
      return
    }
    state.withLock { state in
      let name = url.lastPathComponent
      state.bytes += entry.byteCount - (state.files[name]?.bytes ?? 0)
      state.files[name] = (entry.byteCount, Date())
      evict(&state, keeping: name)
    }
  }

  /// Removes what was not used for longest until the rest is within the budget.
  private func evict(_ state: inout State, keeping newest: String?) {
    guard state.bytes > budget else { return }
    for (name, file) in state.files.sorted(by: { $0.value.used < $1.value.used })
    where name != newest {
      // Another process may have removed it.
      try? FileManager.default.removeItem(at: folder.appending(path: name))
      state.files[name] = nil
      state.bytes -= file.bytes
      if state.bytes <= budget { return }
    }
  }

  /// Says, to later processes too, that a file was used.
  private func touch(_ url: URL) {
    let now = Date()
    try? FileManager.default.setAttributes([.modificationDate: now], ofItemAtPath: url.path)
    state.withLock { state in
      let name = url.lastPathComponent
      if let file = state.files[name] { state.files[name] = (file.bytes, now) }
    }
  }

  private func url(_ entry: Entry) -> URL { folder.appending(path: entry.name + Self.suffix) }
}
