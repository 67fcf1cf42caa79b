import Foundation
import MaTVLMImages
import MaTVLMShapes
import Testing

@Suite struct ShapeDatasetTests {
  /// The pictures and texts of seed 0 on every platform; a change here means a new teacher.
  @Test func sampleBytesStayAsTheyAre() {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    func add(_ bytes: some Sequence<UInt8>) {
      for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    }
    for split in ShapeDataset.Split.allCases {
      let dataset = ShapeDataset(seed: 0, split: split)
      for index in 0..<100 {
        add(dataset.picture(index).pixels)
        for turn in dataset.conversation(index) {
          add("\(turn.question)|\(turn.answer)|\(turn.ability.rawValue)\n".utf8)
        }
      }
    }
    #expect(hash == 9_429_037_457_437_874_985)
  }

  @Test func samplesDoNotDependOnEachOther() {
    let dataset = ShapeDataset(seed: 3, split: .train)
    let last = dataset.picture(50)
    _ = dataset.conversation(7)
    #expect(ShapeDataset(seed: 3, split: .train).picture(50) == last)
    #expect(ShapeDataset(seed: 4, split: .train).picture(50) != last)
    #expect(dataset.picture(51) != last)
  }

  @Test func splitsShareNoLayout() {
    func layouts(seed: UInt64, _ split: ShapeDataset.Split) -> Set<UInt64> {
      let dataset = ShapeDataset(seed: seed, split: split)
      return Set((0..<3000).map { dataset.scene($0).fingerprint })
    }
    let heldOut = layouts(seed: 1, .heldOut)
    #expect(heldOut.count > 1000)
    for seed: UInt64 in [1, 2] { #expect(layouts(seed: seed, .train).isDisjoint(with: heldOut)) }
  }

  @Test func equalLayoutsHaveEqualFingerprints() {
    let dataset = ShapeDataset(seed: 1, split: .train)
    let scenes = (0..<400).map(dataset.scene)
    for a in scenes {
      for b in scenes { #expect((a == b) == (a.fingerprint == b.fingerprint)) }
    }
  }

  @Test func glyphsDifferClearly() {
    for (index, a) in Glyph.all.enumerated() {
      #expect(a.points.count == Glyph.rows)
      for b in Glyph.all[(index + 1)...] {
        let difference = zip(a.points, b.points).map { ($0 ^ $1).nonzeroBitCount }.reduce(0, +)
        #expect(difference >= 4, "\(a.character) \(b.character)")
      }
    }
  }

  /// A cell with something in it differs from the background; an empty one is all background.
  @Test func drawsInsideTheCells() {
    let dataset = ShapeDataset(seed: 8, split: .train)
    for index in 0..<200 {
      let (scene, picture) = (dataset.scene(index), dataset.picture(index))
      #expect(picture.width == 48 && picture.height == 48)
      let empty = ShapeScene.Cell.all.first { scene.contents(of: $0) == "nothing" }!
      let background = pixels(of: empty, in: picture)[0]
      for cell in ShapeScene.Cell.all {
        let drawn = pixels(of: cell, in: picture).count { $0 != background }
        let isEmpty = scene.contents(of: cell) == "nothing"
        #expect(isEmpty ? drawn == 0 : drawn >= 42, "\(index) \(cell.name): \(drawn)")
      }
    }
  }

  private func pixels(of cell: ShapeScene.Cell, in picture: RGBImage) -> [[UInt8]] {
    (0..<256).map { place in
      let (row, column) = (cell.row * 16 + place / 16, cell.column * 16 + place % 16)
      let start = (row * picture.width + column) * 3
      return Array(picture.pixels[start..<start + 3])
    }
  }
}
