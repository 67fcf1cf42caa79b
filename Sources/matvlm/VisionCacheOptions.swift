import ArgumentParser
import Foundation
import MaTVLMCore

/// Whether features of pictures are kept on disk.
struct VisionCacheOptions: ParsableArguments {
  @Option(
    help: "A folder that keeps what the vision tower makes of each picture.",
    completion: .directory)
  var visionCache: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Bytes that it has at most; the features used longest ago go first.", valueName: "20GB"))
  var visionCacheBudget: ByteCount?

  func validate() throws {
    if visionCacheBudget != nil, visionCache == nil {
      throw ValidationError("--vision-cache-budget needs --vision-cache.")
    }
  }

  static let standardBudget = ByteCount(20_000_000_000)

  /// - Throws: ``CheckpointError`` when the folder cannot be made.
  func open() throws -> VisionCache? {
    try visionCache.map { path in
      try VisionCache(
        URL(fileURLWithPath: path, isDirectory: true),
        budget: (visionCacheBudget ?? Self.standardBudget).bytes
      ) { StandardError.print($0) }
    }
  }
}

/// A number of bytes as people write it: 500MB, 20GB, 1.5TB, or a plain number.
struct ByteCount: ExpressibleByArgument, CustomStringConvertible {
  let bytes: Int

  init(_ bytes: Int) { self.bytes = bytes }

  init?(argument: String) {
    let units = ["": 1.0, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12]
    guard let match = argument.wholeMatch(of: /([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)/),
      let number = Double(match.1), let unit = units[match.2.uppercased()],
      number * unit < 1e18
    else { return nil }
    bytes = Int(number * unit)
  }

  var description: String { "\(bytes)" }
}
