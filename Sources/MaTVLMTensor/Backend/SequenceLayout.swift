/// Packed sequences on a device: how the rows divide, and each row's position in its sequence.
public struct SequenceLayout: Sendable {
  public let segments: Segments
  /// int32 [T]: each row's position, rows that were processed in earlier calls counted in.
  public let positions: Tensor
  /// Rows of each sequence that were processed in earlier calls.
  public let past: [Int]

  /// - Parameters:
  ///   - segments: the rows of this call.
  ///   - past: rows of each sequence that came in earlier calls; nil: none.
  /// - Precondition: there is one number of past rows for each segment.
  public init(_ segments: Segments, past: [Int]? = nil, on device: Device) {
    let past = past ?? Array(repeating: 0, count: segments.count)
    require(past.count == segments.count, "SequenceLayout: \(past) for \(segments.lengths)")
    self.segments = segments
    self.past = past
    let positions = zip(segments.lengths, past).flatMap { length, past in past..<past + length }
    self.positions = Tensor(indices: positions, on: device)
  }

  /// A layout whose positions somebody writes between uses of recorded work.
  /// - Parameters:
  ///   - positions: int32 [T], on the device.
  ///   - past: the most rows that each sequence can have seen when the work is used.
  package init(_ segments: Segments, positions: Tensor, past: [Int]) {
    require(
      positions.shape == [segments.rows] && past.count == segments.count,
      "SequenceLayout: positions \(positions.shape), \(past) for \(segments.lengths)")
    self.segments = segments
    self.past = past
    self.positions = positions
  }

  /// The longest sequence after this call, in rows.
  package var longest: Int { zip(segments.lengths, past).map(+).max() ?? 0 }
}
