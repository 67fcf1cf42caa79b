import Foundation
import MaTVLMImages

/// What can keep the shapes from being written.
public enum ShapeError: Error, Equatable {
  case alreadyExists(path: String)
  case cannotWrite(path: String, reason: String)
}

extension ShapeError: LocalizedError, CustomStringConvertible {
  public var errorDescription: String? { description }

  public var description: String {
    switch self {
    case .alreadyExists(let path):
      "\(path): expected a folder that does not exist yet. Remove it, or name another."
    case .cannotWrite(let path, let reason):
      "\(path): cannot write the shapes: \(reason). Check the permissions and the space left."
    }
  }
}

extension ShapeDataset {
  /// Writes both splits as PNG files and LLaVA JSON:
  ///
  ///     folder/train.json     folder/train/000000.png …
  ///     folder/held-out.json  folder/held-out/000000.png …
  ///
  /// `image` in the JSON is relative to `folder`; `abilities` names what each answer shows. The
  /// folder appears complete or not at all.
  ///
  /// - Parameters:
  ///   - turns: questions about each picture.
  ///   - benchmarks: whether the held-out pictures are written also in the files of POPE, MME, GQA
  ///     and TextVQA, into `folder/pope` and so on.
  /// - Throws: ``ShapeError`` if the folder exists or cannot be written.
  /// - Precondition: the counts are not negative.
  public static func write(
    to folder: URL, seed: UInt64 = 0, turns: Int = turnLimits.lowerBound, trainCount: Int,
    heldOutCount: Int, benchmarks: Bool = false
  ) throws {
    let files = FileManager.default
    let folder = folder.standardizedFileURL
    guard !files.fileExists(atPath: folder.path) else {
      throw ShapeError.alreadyExists(path: folder.path)
    }
    let staging = folder.deletingLastPathComponent()
      .appendingPathComponent(".\(folder.lastPathComponent)-\(UUID().uuidString)")
    do {
      // By itself, so that a missing parent is an error and is not made.
      try files.createDirectory(at: staging, withIntermediateDirectories: false)
      for (split, count) in [(Split.train, trainCount), (.heldOut, heldOutCount)] {
        try ShapeDataset(seed: seed, split: split, turns: turns).write(count: count, into: staging)
      }
      if benchmarks {
        let heldOut = ShapeDataset(seed: seed, split: .heldOut)
        try ShapeBenchmarks(dataset: heldOut, count: heldOutCount, folder: staging).write()
      }
      try files.moveItem(at: staging, to: folder)
    } catch {
      try? files.removeItem(at: staging)
      throw ShapeError.cannotWrite(path: folder.path, reason: error.systemReason)
    }
  }

  /// Six digits or more, as files are called.
  static func name(_ index: Int) -> String {
    let digits = String(index)
    return String(repeating: "0", count: max(0, 6 - digits.count)) + digits
  }

  private func write(count: Int, into folder: URL) throws {
    precondition(count >= 0, "ShapeDataset: \(count) samples")
    try FileManager.default.createDirectory(
      at: folder.appendingPathComponent(split.rawValue), withIntermediateDirectories: true)
    let records = try (0..<count).map { index in
      let record = LLaVARecord(index, of: self)
      try picture(index).pngData().write(to: folder.appendingPathComponent(record.image))
      return record
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    try encoder.encode(records).write(to: folder.appendingPathComponent("\(split.rawValue).json"))
  }
}

/// One element of a data file in LLaVA's format.
private struct LLaVARecord: Encodable {
  struct Message: Encodable {
    let from: String
    let value: String
  }

  let id: String
  let image: String
  let conversations: [Message]
  let abilities: [ShapeAbility]

  init(_ index: Int, of dataset: ShapeDataset) {
    let turns = dataset.conversation(index)
    let name = ShapeDataset.name(index)
    id = "\(dataset.split.rawValue)-\(name)"
    image = "\(dataset.split.rawValue)/\(name).png"
    abilities = turns.map(\.ability)
    conversations = turns.enumerated().flatMap { turn, pair in
      [
        Message(from: "human", value: (turn == 0 ? "<image>\n" : "") + pair.question),
        Message(from: "gpt", value: pair.answer),
      ]
    }
  }
}
