/// What a picture shows: one to three shapes and perhaps a digit or letter, each in a cell of its
/// own of a 3 x 3 grid.
package struct ShapeScene: Sendable, Equatable {
  package enum Kind: String, Sendable, CaseIterable {
    case circle, square, triangle, star
  }

  package enum Colour: String, Sendable, CaseIterable {
    case red, green, blue, yellow, purple, pink
  }

  /// A place of the grid, counted row by row from the top left.
  package struct Cell: Sendable, Hashable, Comparable {
    package static let perSide = 3
    package static let all = (0..<perSide * perSide).map(Cell.init)

    package let index: Int
    package var row: Int { index / Self.perSide }
    package var column: Int { index % Self.perSide }

    package var name: String {
      [
        "top left", "top centre", "top right", "middle left", "centre", "middle right",
        "bottom left", "bottom centre", "bottom right",
      ][index]
    }

    package static func < (a: Cell, b: Cell) -> Bool { a.index < b.index }
  }

  package struct Shape: Sendable, Equatable {
    package let kind: Kind
    package let colour: Colour
    package let cell: Cell

    /// For example "red circle".
    package var name: String { "\(colour.rawValue) \(kind.rawValue)" }
  }

  package struct Sign: Sendable, Equatable {
    package let glyph: Glyph
    package let cell: Cell
  }

  /// In reading order.
  package let shapes: [Shape]
  package let sign: Sign?

  /// Draws one to three shapes. Half the scenes repeat a kind or a colour, so that counts above
  /// one are not rare; half have a sign.
  package init(using generator: inout SplitMix64) {
    var cells = generator.shuffled(Cell.all)
    let count = generator.pick([1, 2, 2, 2, 3, 3, 3, 3])
    let theme = generator.next(below: 4)
    let (kind, colour) = (generator.pick(Kind.allCases), generator.pick(Colour.allCases))
    shapes = (0..<count)
      .map { _ in
        Shape(
          kind: theme == 0 ? kind : generator.pick(Kind.allCases),
          colour: theme == 1 ? colour : generator.pick(Colour.allCases),
          cell: cells.removeLast())
      }
      .sorted { $0.cell < $1.cell }
    sign =
      generator.once(in: 2)
      ? Sign(glyph: generator.pick(Glyph.all), cell: cells.removeLast()) : nil
  }

  /// What lies in a cell, in words: "a red circle", "a digit", "nothing".
  package func contents(of cell: Cell) -> String {
    if let shape = shapes.first(where: { $0.cell == cell }) { return "a \(shape.name)" }
    if let sign, sign.cell == cell { return "a \(sign.glyph.species)" }
    return "nothing"
  }

  /// FNV-1a of the layout: equal for equal scenes, whatever the tints and the places within the
  /// cells.
  package var fingerprint: UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for cell in Cell.all {
      let content =
        sign?.cell == cell
        ? String(sign!.glyph.character) : shapes.first { $0.cell == cell }?.name ?? "-"
      for byte in content.utf8 + [0] { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    }
    return hash
  }
}
