/// A workbook of one sheet (Office Open XML), as small as spreadsheet programs accept.
struct Spreadsheet {
  /// The first holds the names of the columns.
  let rows: [[String]]

  /// What a cell can hold at most.
  private static let longestText = 32767

  /// The workbook's file.
  /// - Throws: ``EvaluationError/unwritable(path:reason:)`` when it would be too large.
  func bytes() throws -> [UInt8] {
    var archive = ZipArchive()
    for (name, text) in Self.frame { try archive.add(name, Array((Self.declaration + text).utf8)) }
    try archive.add("xl/worksheets/sheet1.xml", Array((Self.declaration + sheet).utf8))
    return archive.bytes
  }

  private var sheet: String {
    let body = rows.enumerated().map { number, cells in
      "<row r=\"\(number + 1)\">" + cells.enumerated().map(Self.cell(row: number)).joined()
        + "</row>"
    }.joined()
    return "<worksheet xmlns=\"\(Self.main)\"><sheetData>\(body)</sheetData></worksheet>"
  }

  /// Whole numbers are numbers, everything else is text.
  private static func cell(row: Int) -> (Int, String) -> String {
    { column, text in
      let place = "\(columnName(column))\(row + 1)"
      if text.isEmpty { return "" }
      if let number = Int(text), "\(number)" == text, text.count < 16 {
        return "<c r=\"\(place)\"><v>\(number)</v></c>"
      }
      return
        "<c r=\"\(place)\" t=\"inlineStr\"><is><t xml:space=\"preserve\">\(escaped(text))</t></is></c>"
    }
  }

  /// A … Z, AA, …
  private static func columnName(_ index: Int) -> String {
    let letter = String(Unicode.Scalar(UInt8(65 + index % 26)))
    return index < 26 ? letter : columnName(index / 26 - 1) + letter
  }

  /// XML has no place for most control characters; they are left out.
  private static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars.prefix(longestText) {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\n", "\t": result.unicodeScalars.append(scalar)
      case ..<" ", "\u{FFFE}", "\u{FFFF}": continue
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  private static let declaration = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n"
  private static let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
  private static let package = "http://schemas.openxmlformats.org/package/2006"
  private static let office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
  private static let kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"

  /// The parts that every workbook has.
  private static let frame = [
    (
      "[Content_Types].xml",
      "<Types xmlns=\"\(package)/content-types\">"
        + "<Default Extension=\"rels\" ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/>"
        + "<Default Extension=\"xml\" ContentType=\"application/xml\"/>"
        + "<Override PartName=\"/xl/workbook.xml\" ContentType=\"\(kind).sheet.main+xml\"/>"
        + "<Override PartName=\"/xl/worksheets/sheet1.xml\" ContentType=\"\(kind).worksheet+xml\"/></Types>"
    ),
    (
      "_rels/.rels",
      "<Relationships xmlns=\"\(package)/relationships\">"
        + "<Relationship Id=\"rId1\" Type=\"\(office)/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"
    ),
    (
      "xl/workbook.xml",
      "<workbook xmlns=\"\(main)\" xmlns:r=\"\(office)\"><sheets>"
        + "<sheet name=\"Sheet1\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>"
    ),
    (
      "xl/_rels/workbook.xml.rels",
      "<Relationships xmlns=\"\(package)/relationships\">"
        + "<Relationship Id=\"rId1\" Type=\"\(office)/worksheet\" Target=\"worksheets/sheet1.xml\"/></Relationships>"
    ),
  ]
}
