/// A [rows, columns] product cut into tiles, each made by one thread: large enough that copying the
/// factors is little beside multiplying them, small enough that there are some for each thread.
struct TileGrid: Sendable {
  let rows: Int
  let columns: Int
  private let tile: (rows: Int, columns: Int)

  /// - Parameters:
  ///   - most: the largest tile.
  ///   - wanted: how many tiles there should be, if they do not become too small: the more, the less is lost
  ///     where a thread has half of a core for a while.
  init(_ rows: Int, _ columns: Int, most: (rows: Int, columns: Int), wanted: Int = 16) {
    (self.rows, self.columns) = (rows, columns)
    var tile = (rows: min(rows, most.rows), columns: min(columns, most.columns))
    while Self.parts(rows, tile.rows) * Self.parts(columns, tile.columns) < wanted
      && max(tile.rows, tile.columns) > Self.least
    {
      if tile.rows > tile.columns {
        tile.rows = (tile.rows + 1) / 2
      } else {
        tile.columns = (tile.columns + 1) / 2
      }
    }
    // As many tiles of one size: a narrow one at the end has too few sums for a processor to be busy.
    self.tile = (Self.even(rows, tile.rows), Self.even(columns, tile.columns))
  }

  /// Sides are not halved below this.
  private static let least = 96

  private static func parts(_ extent: Int, _ side: Int) -> Int {
    (extent + side - 1) / max(1, side)
  }

  /// A side that cuts an extent into the same number of parts of one size, as far as this goes with a
  /// multiple of a vector, so that only the last tile ends within one.
  private static func even(_ extent: Int, _ side: Int) -> Int {
    let equal = parts(extent, max(1, parts(extent, side)))
    return max(16, (equal + 15) / 16 * 16)
  }

  var count: Int { Self.parts(rows, tile.rows) * Self.parts(columns, tile.columns) }

  subscript(_ index: Int) -> (rows: Range<Int>, columns: Range<Int>) {
    let across = Self.parts(columns, tile.columns)
    let (row, column) = (index / across * tile.rows, index % across * tile.columns)
    return (row..<min(rows, row + tile.rows), column..<min(columns, column + tile.columns))
  }
}
