import MaTVLMTensor

/// What a decoder remembers of one sequence. Copying the struct shares what mixers wrote in place,
/// ``copy()`` does not.
public struct DecodingState: Sendable {
  /// One for each block.
  var mixers: [MixerState]
  /// Rows seen so far, image tokens counted in.
  public internal(set) var position: Int

  /// Bytes of device memory held.
  public var byteCount: Int { mixers.reduce(0) { $0 + $1.byteCount } }

  /// Rows that fit before a cache has to grow; nil: no layer has one.
  var capacity: Int? { mixers.compactMap(\.capacity).min() }

  /// Moves on by one row that recorded work has added.
  mutating func advance() {
    mixers = mixers.map { $0.advanced() }
    position += 1
  }

  /// Counts rows as seen whose keys and values are zero, for measurements.
  mutating func skip(_ rows: Int) {
    mixers = mixers.map { $0.advanced(by: rows) }
    position += rows
  }

  /// A state of the same values that shares nothing with this one.
  public func copy() -> DecodingState {
    DecodingState(mixers: mixers.map { $0.copy() }, position: position)
  }
}
