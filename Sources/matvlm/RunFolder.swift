import Foundation

/// The output folder while a run is under way: its log can be watched there. What was there before
/// waits beside it, hidden, and comes back when the run fails.
struct RunFolder {
  let url: URL
  private let earlier: URL?

  /// - Throws: `CocoaError` when the folder cannot be made; what was there is then where it was.
  init(at url: URL) throws {
    self.url = url
    let manager = FileManager.default
    earlier =
      manager.fileExists(atPath: url.path)
      ? url.deletingLastPathComponent().appendingPathComponent(
        ".\(url.lastPathComponent)-\(UUID().uuidString)") : nil
    if let earlier { try manager.moveItem(at: url, to: earlier) }
    do {
      try manager.createDirectory(at: url, withIntermediateDirectories: false)
    } catch {
      restore()
      throw error
    }
  }

  /// Takes everything that the run wrote away and puts back what was there.
  func restore() {
    // The error that led here is the one to report, not that of clearing up after it.
    try? FileManager.default.removeItem(at: url)
    if let earlier { try? FileManager.default.moveItem(at: earlier, to: url) }
  }

  /// Removes what was there before, now that the run's result stands in its place.
  func removeEarlier() throws {
    if let earlier { try FileManager.default.removeItem(at: earlier) }
  }
}
