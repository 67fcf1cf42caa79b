/// What the first bytes of a file say it is. The raw value is what a message calls it.
enum FileSignature: String {
  case jpeg = "JPEG"
  case png = "PNG"
  case gif = "a GIF picture"
  case webp = "a WebP picture"
  case bmp = "a BMP picture"
  case tiff = "a TIFF picture"
  case heif = "a HEIF or AVIF picture"
  case pdf = "a PDF document"
  case zip = "a ZIP archive"
  case gitLFS = "a Git LFS pointer, not the file it stands for"
  case html = "an HTML page"
  case text = "text"
  case binary = "bytes of no known picture format"
  case empty = "nothing"

  /// How many bytes are looked at.
  static let length = 64

  init(_ bytes: some Collection<UInt8>) {
    let start = Array(bytes.prefix(Self.length))
    func begins(_ text: String, at offset: Int = 0) -> Bool {
      start.dropFirst(offset).starts(with: text.utf8)
    }
    if start.isEmpty {
      self = .empty
    } else if start.starts(with: [0xFF, 0xD8, 0xFF]) {
      self = .jpeg
    } else if start.starts(with: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]) {
      self = .png
    } else if begins("GIF8") {
      self = .gif
    } else if begins("RIFF"), begins("WEBP", at: 8) {
      self = .webp
    } else if begins("BM"), !Self.isText(start) {
      self = .bmp
    } else if begins("II*\0") || begins("MM\0*") {
      self = .tiff
    } else if begins("ftyp", at: 4) {
      self = .heif
    } else if begins("%PDF") {
      self = .pdf
    } else if begins("PK\u{3}\u{4}") {
      self = .zip
    } else if begins("version https://git-lfs") {
      self = .gitLFS
    } else if begins("<!DOCTYPE") || begins("<!doctype") || begins("<html") {
      self = .html
    } else {
      self = Self.isText(start) ? .text : .binary
    }
  }

  /// No control character but white space, and UTF-8 but for a character cut at the end.
  private static func isText(_ bytes: [UInt8]) -> Bool {
    let isPrintable = bytes.allSatisfy { $0 >= 0x20 && $0 != 0x7F || (0x09...0x0D).contains($0) }
    return isPrintable
      && (0...min(3, bytes.count - 1)).contains { cut in
        String(validating: bytes.dropLast(cut), as: UTF8.self) != nil
      }
  }
}
