import Foundation
import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Synchronization
import Testing

@Suite("Features of pictures on disk")
struct VisionCacheTests {
  private let folder: TemporaryFolder
  private let warnings = Warnings()

  private final class Warnings: Sendable {
    let all = Mutex<[String]>([])
  }

  init() throws { folder = try TemporaryFolder() }

  private func cache(budget: Int = 1 << 30) throws -> VisionCache {
    try VisionCache(folder["cache"], budget: budget) { [warnings] message in
      warnings.all.withLock { $0.append(message) }
    }
  }

  /// Eight updates of two samples: each picture twice, beside different ones. The bits of what
  /// trains, and the losses.
  private func run(_ cache: VisionCache?) throws -> (bits: [[UInt32]], losses: [LossMeans]) {
    var configuration = TrainingConfiguration()
    (configuration.steps, configuration.batchSize) = (8, 2)
    let teacher = try GoldenModels.load("teacher")
    var trainer = Trainer(
      distilling: teacher, into: try teacher.student(replacing: [0, 2], .paper, seed: 1),
      DistillationObjective(), configuration, data: try GoldenModels.data(), visionCache: cache)
    var losses: [LossMeans] = []
    try trainer.run { if case .update(let update) = $0 { losses.append(update.losses) } }
    let bits = trainer.trainedParameters.map { $0.value.array().map(\.bitPattern) }
    return (bits, losses)
  }

  private var files: [URL] {
    get throws {
      try folder.content.filter { $0.hasSuffix(".features") }.map { folder[$0] }
    }
  }

  private var warned: [String] { warnings.all.withLock { $0 } }

  /// 15 rows of 48 float32 numbers and a checksum.
  private let entryBytes = 15 * 48 * 4 + 4

  @Test("With, without, and with what another run kept: the same bits")
  func equality() throws {
    let plain = try run(nil)
    let first = try run(cache())
    #expect(first.bits == plain.bits && first.losses == plain.losses)
    #expect(try files.count == 6)  // pictures of the golden samples
    for file in try files { #expect(try Data(contentsOf: file).count == entryBytes) }
    let second = try run(cache())
    #expect(second.bits == plain.bits && second.losses == plain.losses)
    #expect(warned == [])
  }

  @Test("A kept entry is what is used, so a second run computes nothing")
  func used() throws {
    _ = try run(cache())
    // Other features under the right name and with the right checksum are taken as they are.
    for file in try files {
      let content = Data(repeating: 0, count: entryBytes - 4)
      let checksum = withUnsafeBytes(of: CRC32C(content).value.littleEndian) { Data($0) }
      try (checksum + content).write(to: file)
    }
    #expect(try run(cache()).bits != run(nil).bits)
  }

  @Test("Damaged entries are reported, computed again and replaced")
  func damage() throws {
    let plain = try run(nil)
    _ = try run(cache())
    let kept = try files
    var flipped = try Data(contentsOf: kept[0])
    flipped[100] ^= 1
    try flipped.write(to: kept[0])
    try Data().write(to: kept[1])
    try Data(repeating: 7, count: 3).write(to: kept[2])
    #expect(try run(cache()).bits == plain.bits)
    #expect(warned.count == 3 && warned.allSatisfy { $0.contains("computed again") })
    #expect(try run(cache()).bits == plain.bits)
    #expect(warned.count == 3)
  }

  @Test("Over budget, what was used longest ago goes; results stay")
  func eviction() throws {
    let plain = try run(nil)
    let small = try cache(budget: 3 * entryBytes + 1)
    #expect(try run(small).bits == plain.bits)
    #expect(try files.count == 3)
    // A smaller budget holds from the beginning.
    for (index, file) in try files.enumerated() {
      let date = Date(timeIntervalSinceNow: Double(index - 100))
      try FileManager.default.setAttributes([.modificationDate: date], ofItemAtPath: file.path)
    }
    let newest = try files[2]
    _ = try cache(budget: entryBytes)
    #expect(try files.map(\.lastPathComponent) == [newest.lastPathComponent])
    #expect(try run(cache(budget: 10)).bits == plain.bits)
    #expect(try files.isEmpty)
  }

  @Test("A folder that cannot be written is said once, and the run goes on")
  func unwritable() throws {
    let plain = try run(nil)
    let cache = try cache()
    try FileManager.default.removeItem(at: folder["cache"])
    #expect(try run(cache).bits == plain.bits)
    #expect(warned.count == 1)
    try folder.write("file", Data())
    #expect(throws: CheckpointError.self) {
      _ = try VisionCache(folder["file"], budget: 1) { _ in }
    }
  }
}
