import MaTVLMTensor

/// Small tables that kernels look things up in, kept on the card: the same sequences and the same
/// caches come back call after call.
struct DeviceTables {
  enum Content: Hashable {
    /// int32 [S + 1]: the first row of each segment.
    case starts(Segments)
    /// int32 [T]: each row's segment.
    case owners(Segments)
    /// RowTile: each segment of some cut into tiles of `rows` rows.
    case tiles(Segments, of: Range<Int>, rows: Int)
    /// int32 [S + 1]: the number of each segment's first tile.
    case tileStarts(Segments, rows: Int)
    /// u64: addresses of tensors.
    case addresses([UInt64])

    var bytes: [UInt8] {
      switch self {
      case .starts(let segments): Self.bytes(segments.starts.map { Int32($0) })
      case .owners(let segments): Self.bytes(segments.owners.map { Int32($0) })
      case .tiles(let segments, let range, let rows):
        Self.bytes(
          range.flatMap { segment in
            let (start, end) = (segments.starts[segment], segments.starts[segment + 1])
            return stride(from: start, to: end, by: rows).flatMap { first in
              [first, end, segment, start].map { Int32($0) }
            }
          })
      case .tileStarts(let segments, let rows):
        Self.bytes(
          segments.lengths.reduce(into: [Int32(0)]) { starts, length in
            starts.append(starts.last! + Int32((length + rows - 1) / rows))
          })
      case .addresses(let addresses): Self.bytes(addresses)
      }
    }

    private static func bytes<Element>(_ values: [Element]) -> [UInt8] {
      values.withUnsafeBytes { Array($0) }
    }
  }

  fileprivate var entries: [Content: (address: UInt64, byteCount: Int)] = [:]
  /// Recorded works, which go on using tables.
  var users = 0
  /// Tables kept; all are dropped when there are more and no recorded work uses them.
  fileprivate static let limit = 1024
}

extension CUDABackend {
  /// Where `content` lies on the card.
  func table(_ content: DeviceTables.Content) -> KernelArgument {
    let address = tables.withLock { tables -> UInt64 in
      if let entry = tables.entries[content] { return entry.address }
      if tables.entries.count >= DeviceTables.limit, tables.users == 0 {
        for entry in tables.entries.values {
          free(Memory(bits: UInt(entry.address)), byteCount: entry.byteCount)
        }
        tables.entries = [:]
      }
      let bytes = content.bytes
      guard bytes.count > 0 else { return 0 }
      let memory = allocate(byteCount: bytes.count)
      bytes.withUnsafeBytes { write($0, to: memory, at: 0) }
      tables.entries[content] = (UInt64(memory.bits), bytes.count)
      return UInt64(memory.bits)
    }
    return .address(address)
  }

  /// The number of tiles that ``DeviceTables/Content/tiles(_:of:rows:)`` makes.
  func tileCount(_ segments: Segments, of range: Range<Int>, rows: Int) -> Int {
    range.reduce(0) { $0 + (segments.lengths[$1] + rows - 1) / rows }
  }
}
