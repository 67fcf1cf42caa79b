import Foundation
import MaTVLMImages
import MaTVLMShapes
import Testing

@Suite struct ShapeFilesTests {
  private struct Record: Decodable {
    struct Message: Decodable {
      let from: String
      let value: String
    }
    let id: String
    let image: String
    let conversations: [Message]
    let abilities: [String]
  }

  private func withScratch(_ body: (URL) throws -> Void) throws {
    let scratch = FileManager.default.temporaryDirectory
      .appendingPathComponent("shapes-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: scratch, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: scratch) }
    try body(scratch)
  }

  @Test func writesWhatItHoldsInMemory() throws {
    try withScratch { scratch in
      let folder = scratch.appendingPathComponent("shapes")
      try ShapeDataset.write(to: folder, seed: 6, trainCount: 12, heldOutCount: 3)
      for (split, count) in [(ShapeDataset.Split.train, 12), (.heldOut, 3)] {
        let dataset = ShapeDataset(seed: 6, split: split)
        let json = try Data(contentsOf: folder.appendingPathComponent("\(split.rawValue).json"))
        let records = try JSONDecoder().decode([Record].self, from: json)
        #expect(records.count == count && Set(records.map(\.id)).count == count)
        for (index, record) in records.enumerated() {
          let image = try ImageFolder(folder).image(record.image)
          #expect(image == dataset.picture(index))
          let turns = dataset.conversation(index)
          #expect(record.abilities == turns.map(\.ability.rawValue))
          #expect(record.conversations.map(\.from) == turns.flatMap { _ in ["human", "gpt"] })
          let values = turns.flatMap { [$0.question, $0.answer] }
          #expect(record.conversations.map(\.value) == ["<image>\n\(values[0])"] + values[1...])
        }
      }
      let left = try FileManager.default.contentsOfDirectory(atPath: scratch.path)
      #expect(left == ["shapes"])
    }
  }

  @Test func leavesWhatIsThere() throws {
    try withScratch { scratch in
      #expect(throws: ShapeError.alreadyExists(path: scratch.path)) {
        try ShapeDataset.write(to: scratch, trainCount: 1, heldOutCount: 1)
      }
      let left = try FileManager.default.contentsOfDirectory(atPath: scratch.path)
      #expect(left.isEmpty)
    }
  }

  /// A file where a folder should be: nothing can be written below it, whoever asks.
  @Test func leavesNothingWhenItCannotWrite() throws {
    try withScratch { scratch in
      let file = scratch.appendingPathComponent("file")
      try Data([1]).write(to: file)
      let folder = file.appendingPathComponent("shapes")
      let error = #expect(throws: ShapeError.self) {
        try ShapeDataset.write(to: folder, trainCount: 1, heldOutCount: 1)
      }
      #expect(
        error?.description.hasPrefix("\(folder.path): cannot write the shapes: Not a directory")
          == true)
      let left = try FileManager.default.contentsOfDirectory(atPath: scratch.path)
      #expect(left == ["file"])
    }
  }
}
