/// Files in one, stored without compression (PKWARE's APPNOTE 6.3).
struct ZipArchive {
  private var content: [UInt8] = []
  private var directory: [UInt8] = []
  private var count: UInt16 = 0

  /// - Throws: ``EvaluationError/unwritable(path:reason:)`` for more than the format has room for.
  mutating func add(_ name: String, _ bytes: [UInt8]) throws {
    guard content.count + bytes.count < 1 << 31 else {
      throw EvaluationError.unwritable(path: name, reason: "the archive would be larger than 2 GiB")
    }
    let offset = UInt32(content.count)
    let size = UInt32(bytes.count)
    // Version 2.0, UTF-8 names, stored; the first of January 1980, so that equal content gives
    // equal archives.
    var header: [UInt8] = []
    for value in [20, 0x800, 0, 0, 0x21] as [UInt16] { header += Self.little(value) }
    for value in [Self.checksum(bytes), size, size] { header += Self.little(value) }
    header += Self.little(UInt16(name.utf8.count)) + Self.little(UInt16(0))
    content += Self.little(UInt32(0x0403_4B50)) + header + name.utf8 + bytes
    directory += Self.little(UInt32(0x0201_4B50)) + Self.little(UInt16(20)) + header
    directory += [UInt8](repeating: 0, count: 10) + Self.little(offset) + name.utf8
    count += 1
  }

  var bytes: [UInt8] {
    var end = Self.little(UInt32(0x0605_4B50)) + [0, 0, 0, 0]
    end += Self.little(count) + Self.little(count)
    end += Self.little(UInt32(directory.count)) + Self.little(UInt32(content.count)) + [0, 0]
    return content + directory + end
  }

  private static func little(_ value: some FixedWidthInteger & UnsignedInteger) -> [UInt8] {
    (0..<value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
  }

  /// CRC-32 as of IEEE 802.3.
  static func checksum(_ bytes: [UInt8]) -> UInt32 {
    ~bytes.reduce(~0) { table[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] ^ $0 >> 8 }
  }

  private static let table: [UInt32] = (0..<256).map { index in
    (0..<8).reduce(UInt32(index)) { value, _ in
      value & 1 == 0 ? value >> 1 : value >> 1 ^ 0xEDB8_8320
    }
  }
}
