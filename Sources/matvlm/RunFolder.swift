import Foundation
import MaTVLMCore

/// The output folder from a run's beginning to its end. Its log and its checkpoints are in it, and
/// `run.lock` as long as it is unfinished. What was there before waits beside it, hidden, until the
/// run is finished, and comes back when a run comes to nothing.
struct RunFolder {
  /// What there is to do.
  enum Start {
    case anew
    /// From the newest checkpoint.
    case resumed
    /// The result is in place; only what the run needed is still to be removed.
    case complete
  }

  let url: URL
  let start: Start
  let series: CheckpointSeries
  private let lock: RunLock

  /// - Parameter identity: of the run that is to be in the folder.
  /// - Throws: ``OutputError`` when the folder is not to be touched, ``CheckpointError`` or
  ///   `CocoaError` when it cannot be made; what was there is then where it was.
  init(
    _ output: OutputOptions, _ checkpoints: CheckpointOptions, identity: RunIdentity
  ) throws {
    url = output.folder
    series = CheckpointSeries(
      url.appendingPathComponent(Self.checkpointsName), keeping: checkpoints.checkpoints)
    try Self.settleEarlier(url)
    if RunLock.exists(in: url) {
      (lock, start) = (try RunLock(in: url), try Self.decide(url, series, output, checkpoints))
    } else {
      try output.check(for: checkpoints)  // of what was just put back, too
      (lock, start) = (try Self.make(url), .anew)
    }
    try prepare(identity)
  }

  private static let checkpointsName = "checkpoints"
  private static let resultName = ".result"
  /// What is moved into place last: a folder with it is a whole model.
  private static let lastName = "config.json"

  /// Where the result waits that a run is to replace.
  private static func earlier(of url: URL) -> URL {
    url.deletingLastPathComponent().appendingPathComponent(".\(url.lastPathComponent)-earlier")
  }

  /// The model that stood at `folder` when an unfinished run there began: what a run reads that
  /// replaces its own starting point.
  static func model(at folder: URL) -> URL {
    let place = folder.standardizedFileURL.resolvingSymlinksInPath()
    let earlier = earlier(of: place)
    let isUnfinished =
      RunLock.exists(in: place) || !exists(place.appendingPathComponent(lastName))
    return isUnfinished && exists(earlier) ? earlier : folder
  }

  private static func exists(_ url: URL) -> Bool {
    FileManager.default.fileExists(atPath: url.path)
  }
}

// MARK: - Beginning

extension RunFolder {
  /// Brings back, or removes, the earlier result of a run that was not begun, or has finished: a program
  /// ended between two steps.
  private static func settleEarlier(_ url: URL) throws {
    let earlier = earlier(of: url)
    guard exists(earlier), !RunLock.exists(in: url) else { return }
    if exists(url.appendingPathComponent(lastName)) {
      return try FileManager.default.removeItem(at: earlier)
    }
    // The folder was made and not locked; one with anything in it is somebody's.
    if exists(url), rmdir(url.path) != 0 { return }
    try FileManager.default.moveItem(at: earlier, to: url)
  }

  /// What to do about an unfinished run.
  private static func decide(
    _ url: URL, _ series: CheckpointSeries, _ output: OutputOptions,
    _ checkpoints: CheckpointOptions
  ) throws -> Start {
    if checkpoints.resume == false {
      guard output.overwrite else { throw OutputError.occupied(output.output) }
      return .anew
    }
    if exists(url.appendingPathComponent(lastName)) { return .complete }
    return series.steps.isEmpty ? .anew : .resumed
  }

  private static func make(_ url: URL) throws -> RunLock {
    let manager = FileManager.default
    let isTaken = exists(url)
    if isTaken { try manager.moveItem(at: url, to: earlier(of: url)) }
    do {
      try manager.createDirectory(at: url, withIntermediateDirectories: false)
      return try RunLock(in: url)
    } catch {
      // The error that led here is the one to report, not that of clearing up after it.
      try? manager.removeItem(at: url)
      if isTaken { try? manager.moveItem(at: earlier(of: url), to: url) }
      throw error
    }
  }

  private func prepare(_ identity: RunIdentity) throws {
    guard start == .anew else {
      let earlier = lock.identity
      let difference =
        earlier.map { identity.difference(from: $0) } ?? "\(RunLock.fileName) is damaged"
      if let difference { throw OutputError.otherRun(url.path, difference: difference) }
      return try remove { $0.hasPrefix(".") }
    }
    do {
      try remove { $0 != RunLock.fileName }
      try lock.write(identity)
    } catch {
      restore()
      throw error
    }
  }

  private func remove(where isUnwanted: (String) -> Bool) throws {
    let manager = FileManager.default
    for name in try manager.contentsOfDirectory(atPath: url.path) where isUnwanted(name) {
      try manager.removeItem(at: url.appendingPathComponent(name))
    }
  }
}

// MARK: - Ending

extension RunFolder {
  /// After a failure: a run that has checkpoints stays, to go on later; another leaves nothing.
  func abandon() {
    guard let step = series.steps.last else { return restore() }
    StandardError.print(
      "\(url.path): what the run had reached after update \(step) is kept; the same command goes on "
        + "from there")
  }

  /// Takes everything that the run wrote away and puts back what was there.
  private func restore() {
    // The error that led here is the one to report, not that of clearing up after it.
    try? FileManager.default.removeItem(at: url)
    let earlier = Self.earlier(of: url)
    if Self.exists(earlier) { try? FileManager.default.moveItem(at: earlier, to: url) }
  }

  /// Puts a model into the folder. Ended anywhere in between, the run is still unfinished, and the
  /// next start does this again.
  func place(_ model: VisionLanguageModel, as type: DType?) throws {
    let result = url.appendingPathComponent(Self.resultName)
    try model.save(to: result, as: type, replacing: { _ in true })
    let names = try FileManager.default.contentsOfDirectory(atPath: result.path)
    for name in names.filter({ $0 != Self.lastName }) + [Self.lastName] {
      try move(result.appendingPathComponent(name), to: url.appendingPathComponent(name))
    }
    try synchronize(url)
  }

  /// Removes what only the run needed, and what its result replaces; the latter when the run is no
  /// longer unfinished, since a student that replaces itself is read there.
  func finish(keepingCheckpoints: Bool) throws {
    try remove { $0.hasPrefix(".") || $0 == Self.checkpointsName && !keepingCheckpoints }
    try lock.remove()
    let earlier = Self.earlier(of: url)
    if Self.exists(earlier) { try FileManager.default.removeItem(at: earlier) }
  }
}
