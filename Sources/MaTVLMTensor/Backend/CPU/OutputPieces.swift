/// The outputs of a matrix cut into pieces for its product with a few rows; one thread reads the
/// weights of a piece.
///
/// A piece is some hundred kilobytes of weights. For a single row, whose weights come from memory, long
/// pieces are read faster, as long as there are enough of them for all threads; what is left after three
/// quarters is cut short, so that threads end together.
struct OutputPieces: Sendable {
  private let outputs: Int
  private let short: Int
  private let long: Int
  private let longCount: Int

  /// - Parameters:
  ///   - bytes: of an output's weights.
  ///   - rows: of x.
  ///   - least: bytes of a short piece.
  ///   - multiple: of which a piece's outputs are, but for the last one's.
  init(_ outputs: Int, bytes: Int, rows: Int, threads: Int, least: Int, multiple: Int) {
    func piece(_ size: Int) -> Int { max(1, size / max(1, bytes * multiple)) * multiple }
    self.outputs = outputs
    short = piece(least)
    long = piece(min(1 << 21, outputs * bytes / (4 * threads)))
    longCount = rows == 1 && long > short ? 3 * outputs / 4 / long : 0
  }

  var count: Int { longCount + (outputs - longCount * long + short - 1) / short }

  subscript(_ index: Int) -> Range<Int> {
    if index < longCount { return index * long..<(index + 1) * long }
    let start = longCount * long + (index - longCount) * short
    return start..<min(outputs, start + short)
  }
}
