import Foundation

/// A table of tab-separated values as pandas writes it: a field with a tab, a line feed or a quote is
/// quoted, and quotes in it are doubled.
struct SeparatedTable {
  let columns: [String]
  /// As many fields as there are columns, in each.
  private let rows: [[Data]]
  private let path: String

  init(_ url: URL) throws {
    path = url.path
    var parser = Parser(bytes: try InputFile.bytes(of: url))
    var records = parser.records()
    guard let header = records.first else {
      throw EvaluationError.malformed(path: path, place: "the file", expected: "a line of names")
    }
    records.removeFirst()
    columns = header.map { String(decoding: $0, as: UTF8.self) }
    if let row = records.firstIndex(where: { $0.count != header.count }) {
      throw EvaluationError.malformed(
        path: path, place: "row \(row + 1) of \(records[row].count) fields",
        expected: "\(header.count) fields, as the first line has")
    }
    rows = records
  }

  var count: Int { rows.count }

  /// - Throws: when there is no such column.
  func column(_ name: String) throws -> Int {
    guard let index = columns.firstIndex(of: name) else {
      throw EvaluationError.malformed(
        path: path, place: "the first line", expected: "a column \(name)")
    }
    return index
  }

  /// The bytes of a field: pictures are long.
  func bytes(_ row: Int, _ column: Int) -> Data { rows[row][column] }

  func text(_ row: Int, _ column: Int) -> String {
    String(decoding: rows[row][column], as: UTF8.self)
  }

  /// What pandas reads as no value, and what the authors' scripts take for none.
  private static let nothing: Set = [
    "", "#n/a", "#n/a n/a", "#na", "-1.#ind", "-1.#qnan", "-nan", "1.#ind", "1.#qnan", "<na>",
    "n/a",
    "na", "null", "nan", "none",
  ]

  /// nil for a field that stands for nothing.
  func value(_ row: Int, _ column: Int) -> String? {
    let text = text(row, column)
    return Self.nothing.contains(text.lowercased()) ? nil : text
  }
}

private struct Parser {
  let bytes: Data
  private static let (tab, feed, carriage, quote) = (
    UInt8(ascii: "\t"), UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: "\"")
  )

  mutating func records() -> [[Data]] {
    var records: [[Data]] = []
    var record: [Data] = []
    var place = bytes.startIndex
    while place < bytes.endIndex {
      let (field, end) = bytes[place] == Self.quote ? quoted(at: place) : plain(at: place)
      record.append(field)
      if end == bytes.endIndex || bytes[end] != Self.tab {
        // Blank lines are none.
        if record.count > 1 || !record[0].isEmpty { records.append(record) }
        record = []
      }
      place = end == bytes.endIndex ? end : end + 1
      // A tab at the very end has an empty field behind it.
      if place == bytes.endIndex, !record.isEmpty { records.append(record + [Data()]) }
    }
    return records
  }

  /// A field up to the next tab or line's end, and where that is.
  private func plain(at start: Int) -> (Data, Int) {
    let end = bytes[start...].firstIndex { $0 == Self.tab || $0 == Self.feed } ?? bytes.endIndex
    let field = bytes[start..<end]
    let endsLine = end == bytes.endIndex || bytes[end] == Self.feed
    return (endsLine && field.last == Self.carriage ? field.dropLast() : field, end)
  }

  private func quoted(at start: Int) -> (Data, Int) {
    var field = Data()
    var place = start + 1
    while let close = bytes[place...].firstIndex(of: Self.quote) {
      field += bytes[place..<close]
      guard close + 1 < bytes.endIndex, bytes[close + 1] == Self.quote else {
        let (rest, end) = plain(at: close + 1)
        return (field + rest, end)
      }
      field.append(Self.quote)
      place = close + 2
    }
    return (field + bytes[place...], bytes.endIndex)
  }
}
