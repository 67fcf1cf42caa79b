import MaTVLMImages

/// A scene drawn: 48 x 48 pixels, its 3 x 3 cells exactly 2 x 2 patches of 8 pixels each. Tints,
/// sizes and places within the cells vary. Whole numbers only: equal on every platform.
package struct ShapePicture {
  package static let cellSide = 16
  package static let side = cellSide * ShapeScene.Cell.perSide

  private typealias RGB = SIMD3<Int>

  private var pixels: [UInt8]  // [48, 48, 3]

  package static func image(of scene: ShapeScene, using generator: inout SplitMix64) -> RGBImage {
    var picture = ShapePicture(background: tint(RGB(repeating: 232), by: 16, &generator))
    for shape in scene.shapes {
      let outline = Outline(shape.kind, using: &generator)
      let colour = tint(pigment(shape.colour), by: 14, &generator)
      picture.paint(colour, in: shape.cell) { outline.coverage(x: $0, y: $1) }
    }
    if let sign = scene.sign {
      let ink = tint(RGB(repeating: 36), by: 16, &generator)
      picture.paint(ink, in: sign.cell) { coverage(of: sign.glyph, x: $0, y: $1) }
    }
    return RGBImage(width: side, height: side, pixels: picture.pixels)
  }

  private init(background: RGB) {
    let pixel = (0..<3).map { UInt8(background[$0]) }
    pixels = Array(repeatElement(pixel, count: Self.side * Self.side).joined())
  }

  /// Mixes `colour` over the pixels of a cell; `coverage` gives sixteenths.
  private mutating func paint(
    _ colour: RGB, in cell: ShapeScene.Cell, coverage: (_ x: Int, _ y: Int) -> Int
  ) {
    for y in 0..<Self.cellSide {
      for x in 0..<Self.cellSide {
        let share = coverage(x, y)
        if share == 0 { continue }
        let (row, column) = (cell.row * Self.cellSide + y, cell.column * Self.cellSide + x)
        let pixel = (row * Self.side + column) * 3
        for channel in 0..<3 {
          let under = Int(pixels[pixel + channel])
          pixels[pixel + channel] = UInt8((under * (16 - share) + colour[channel] * share + 8) / 16)
        }
      }
    }
  }

  /// Points of 3 x 2 pixels from the cell's second row on: no place within the cell is drawn by
  /// lot, for a tiny vision tower reads what stands still.
  private static func coverage(of glyph: Glyph, x: Int, y: Int) -> Int {
    let (column, row) = (x / 3, (y + 1) / 2 - 1)
    guard column < Glyph.columns, (0..<Glyph.rows).contains(row) else { return 0 }
    return glyph.isInked(row: row, column: column) ? 16 : 0
  }

  private static func tint(_ colour: RGB, by spread: Int, _ generator: inout SplitMix64) -> RGB {
    var tinted = colour
    for channel in 0..<3 { tinted[channel] += generator.next(in: -spread...spread) }
    return tinted.clamped(lowerBound: .zero, upperBound: RGB(repeating: 255))
  }

  private static func pigment(_ colour: ShapeScene.Colour) -> RGB {
    switch colour {
    case .red: RGB(214, 32, 36)
    case .green: RGB(36, 158, 66)
    case .blue: RGB(40, 84, 216)
    case .yellow: RGB(240, 206, 24)
    case .purple: RGB(126, 42, 168)
    case .pink: RGB(246, 124, 182)
    }
  }
}

/// The edge of one shape, in eighths of a pixel from the cell's corner.
private struct Outline {
  private let kind: ShapeScene.Kind
  private let centre: SIMD2<Int>
  private let radius: Int
  /// Of a star, in thousandths of the other units.
  private let corners: [SIMD2<Int>]

  /// Up to a pixel away from the middle of the cell, never over its edge.
  init(_ kind: ShapeScene.Kind, using generator: inout SplitMix64) {
    self.kind = kind
    let radius = generator.next(in: 46...54)
    self.radius = radius
    corners = kind == .star ? Self.star.map { $0 &* radius } : []
    centre = SIMD2(64 + generator.next(in: -8...8), 64 + generator.next(in: -8...8))
  }

  /// How many of a pixel's 4 x 4 samples lie inside.
  func coverage(x: Int, y: Int) -> Int {
    var inside = 0
    for sample in 0..<16 {
      let point = SIMD2(8 * x + 2 * (sample % 4) + 1, 8 * y + 2 * (sample / 4) + 1)
      if contains(point &- centre) { inside += 1 }
    }
    return inside
  }

  private func contains(_ point: SIMD2<Int>) -> Bool {
    let (x, y) = (point.x, point.y)
    switch kind {
    case .circle: return x * x + y * y <= radius * radius
    case .square: return 8 * max(abs(x), abs(y)) <= 7 * radius
    case .triangle: return 8 * y <= 7 * radius && 15 * abs(x) <= 8 * (y + radius)
    case .star: return starContains(point)
    }
  }

  /// Corners of a five-pointed star of radius 1000 whose inner corners are 500 from the middle,
  /// clockwise from the top.
  private static let star: [SIMD2<Int>] = [
    SIMD2(0, -1000), SIMD2(294, -405), SIMD2(951, -309), SIMD2(476, 155), SIMD2(588, 809),
    SIMD2(0, 500), SIMD2(-588, 809), SIMD2(-476, 155), SIMD2(-951, -309), SIMD2(-294, -405),
  ]

  /// A ray to the right crosses the edge an odd number of times.
  private func starContains(_ point: SIMD2<Int>) -> Bool {
    let (x, y) = (point.x * 1000, point.y * 1000)
    var isInside = false
    var a = corners[corners.count - 1]
    for b in corners {
      if (a.y > y) != (b.y > y) {
        let side = (x - a.x) * (b.y - a.y) - (y - a.y) * (b.x - a.x)
        if (side < 0) == (b.y > a.y) { isInside.toggle() }
      }
      a = b
    }
    return isInside
  }
}
