import MaTVLMMamba
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

  /// Makes room for as many more rows.
  mutating func reserve(_ rows: Int) {
    for index in mixers.indices { mixers[index].reserve(rows) }
  }

  /// Moves on by one row that recorded work has added.
  mutating func advance() {
    mixers = mixers.map { $0.advanced() }
    position += 1
  }

  /// What recurrent mixers remember, in the order of their blocks.
  var recurrent: [Mamba2State] {
    mixers.compactMap { if case .recurrent(let state) = $0 { state } else { nil } }
  }

  /// The state after the first `position` rows. Caches are shared with this one and cut; what
  /// recurrent mixers remember cannot be taken apart and is given.
  /// - Precondition: `recurrent` is what these remembered after as many rows, and caches have them.
  func cut(to position: Int, recurrent: [Mamba2State]) -> DecodingState {
    require(
      position <= self.position && recurrent.count == self.recurrent.count,
      "DecodingState: \(self.position) rows cut to \(position), \(recurrent.count) recurrent states"
    )
    var remembered = recurrent.makeIterator()
    let mixers = mixers.map { mixer -> MixerState in
      guard case .keyValues(var cache) = mixer else { return .recurrent(remembered.next()!) }
      cache.truncate(to: position)
      return .keyValues(cache)
    }
    return DecodingState(mixers: mixers, position: position)
  }

  /// A state that shares caches with this one, and goes its own way in recurrent mixers.
  func copyingRecurrent() -> DecodingState {
    cut(to: position, recurrent: recurrent.map { $0.copy() })
  }

  /// A state of the same values that shares nothing with this one.
  public func copy() -> DecodingState {
    DecodingState(mixers: mixers.map { $0.copy() }, position: position)
  }
}
