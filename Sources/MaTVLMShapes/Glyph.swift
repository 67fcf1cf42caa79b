/// A digit or a letter of the pictures: 5 x 7 points, each drawn three pixels wide and two high,
/// so that it fills its cell of 16 x 16 with thick strokes. Any two differ in at least four points.
package struct Glyph: Sendable, Equatable {
  package static let columns = 5
  package static let rows = 7

  package let character: Character
  /// One row per word, top first; the leftmost point is the highest of five bits.
  package let points: [UInt8]

  package var isDigit: Bool { character.isNumber }
  /// "digit" or "letter".
  package var species: String { isDigit ? "digit" : "letter" }

  package func isInked(row: Int, column: Int) -> Bool {
    points[row] >> (Self.columns - 1 - column) & 1 == 1
  }

  package static let all = [
    Glyph("0", 0b01110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110),
    Glyph("1", 0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b11111),
    Glyph("2", 0b11110, 0b00001, 0b00001, 0b01110, 0b10000, 0b10000, 0b11111),
    Glyph("3", 0b11110, 0b00001, 0b00001, 0b01110, 0b00001, 0b00001, 0b11110),
    Glyph("4", 0b10010, 0b10010, 0b10010, 0b11111, 0b00010, 0b00010, 0b00010),
    Glyph("5", 0b11111, 0b10000, 0b10000, 0b11110, 0b00001, 0b00001, 0b11110),
    Glyph("6", 0b01111, 0b10000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110),
    Glyph("7", 0b11111, 0b00001, 0b00001, 0b00010, 0b00100, 0b00100, 0b00100),
    Glyph("8", 0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110),
    Glyph("9", 0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00001, 0b11110),
    Glyph("A", 0b01110, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001),
    Glyph("E", 0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111),
    Glyph("H", 0b10001, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001),
    Glyph("K", 0b10001, 0b10010, 0b10100, 0b11000, 0b10100, 0b10010, 0b10001),
    Glyph("T", 0b11111, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100),
    Glyph("X", 0b10001, 0b10001, 0b01010, 0b00100, 0b01010, 0b10001, 0b10001),
  ]

  private init(_ character: Character, _ points: UInt8...) {
    self.character = character
    self.points = points
  }
}
