import MaTVLMImages
import MaTVLMTensor

/// Pictures whose rows of the decoder are known, so that each goes through the vision tower once.
struct EncodedPictures: Sendable {
  struct Entry: Sendable {
    /// Of the size that the model takes.
    let picture: RGBImage
    /// [tokens, D]
    let rows: Tensor
  }

  /// Oldest first.
  private(set) var entries: [Entry] = []

  init(_ entries: [Entry] = []) { self.entries = entries }

  /// Bytes of device memory held.
  var byteCount: Int { entries.reduce(0) { $0 + $1.rows.shape.count * $1.rows.dtype.byteCount } }

  /// The rows of pictures end to end, encoding what is new.
  /// - Parameter betweenBlocks: called between blocks of the vision tower; what it throws ends the
  ///   work.
  /// - Returns: [pictures · tokens, D]; nil when there is no picture.
  mutating func rows(
    of pictures: some Collection<RGBImage>, _ model: VisionLanguageModel,
    betweenBlocks: () throws -> Void
  ) rethrows -> Tensor? {
    let parts = try pictures.map { picture in
      if let known = entries.first(where: { $0.picture == picture }) { return known.rows }
      let rows = try model.imageRows([picture], betweenBlocks: betweenBlocks)  // [tokens, D]
      entries.append(Entry(picture: picture, rows: rows))
      return rows
    }
    guard parts.count > 1 else { return parts.first }
    let lines = parts.map { $0.reshaped([1, $0.shape.count]) }
    let joined = lines[0].backend.joinColumns(lines, widths: lines.map(\.shape.count))
    return joined.reshaped([parts.reduce(0) { $0 + $1.shape.rows }, parts[0].shape.width])
  }

  /// Forgets the oldest picture's rows; says whether there were any.
  mutating func removeOldest() -> Bool {
    guard !entries.isEmpty else { return false }
    entries.removeFirst()
    return true
  }
}
